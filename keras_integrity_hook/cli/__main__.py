# SPDX-License-Identifier: Apache-2.0
"""``python -m keras_integrity_hook.cli``: the command where its script is not on the PATH."""

from __future__ import annotations

from keras_integrity_hook.cli import main

main(prog_name="keras-integrity")
