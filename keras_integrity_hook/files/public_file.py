# SPDX-License-Identifier: Apache-2.0
"""Small files that are no secret: those whom a machine trusts, and what was published."""

from __future__ import annotations

import os

from keras_integrity_hook.files.atomic import private_file
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import Target


def replace(target: Target, data: bytes) -> None:
    """Put ``data`` in the place of the file that ``target`` was opened on, in one step.

    A new file is readable by all, whatever the umask: every user's loads read the machine's.

    Raises:
        OSError: it is as it was; also where another file was put there since.
    """
    with private_file(target) as made:
        made.take_final_name()
        with open(made.create(), "wb") as file:
            system.fchmod(file.fileno(), 0o644)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        made.put_in_place(expected=target.old)
