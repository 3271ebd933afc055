# SPDX-License-Identifier: Apache-2.0
"""``python -m keras_integrity_hook.cli.changed COMMAND [OPTION...] FILE...``: the hooks of
pre-commit.

Git knows files, and ``verify`` and ``scan`` know models: each file stands for the model that it
belongs to. Where there is none, nothing is to be done. Options that take a value are written with
``=``, as what does not begin with a dash is a file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from keras_integrity_hook.cli import main
from keras_integrity_hook.fleet.changed import models_of

_COMMANDS = ("verify", "scan")


def run(arguments: Sequence[str]) -> None:
    """Do the command to the models that the files among the arguments belong to; exits as it."""
    command, *rest = arguments or [""]
    if command not in _COMMANDS:
        sys.exit(f"Error: the first argument is one of: {', '.join(_COMMANDS)}.")
    options = [one for one in rest if one.startswith("-") and not os.path.lexists(one)]
    files = [one for one in rest if one not in options]
    if models := models_of(files):
        main([command, *options, "--", *models], prog_name="keras-integrity")


if __name__ == "__main__":
    run(sys.argv[1:])
