# SPDX-License-Identifier: Apache-2.0
"""Seal a set where it is, and say what became of it."""

from __future__ import annotations

import os

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.errors import AuditError, IntegrityError, SigningError
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.saving.steps import Outcome


def sealed(place: Place, path: str) -> Outcome:
    """Seal the set at ``place``; its seal, or the error for which it has none.

    Args:
        path: what the user calls it, or will.

    Raises:
        SigningError: it has to be signed and could not be.
        OSError: the disk is full, ...
    """
    name = place.stem or os.path.basename(real_path(path))
    try:
        with file_set.open_directory(place) as files:
            return seal_writer.seal_set(files, subject=name, path=path)
    except (AuditError, SigningError):
        raise
    except IntegrityError as error:
        return error
