# SPDX-License-Identifier: Apache-2.0
"""Keras's own tests end with the hook exactly as they end without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

RUNNER = Path(__file__).parent.parent / "upstream" / "run.py"


def test_keras_own_saving_tests_give_the_same_results_with_the_hook() -> None:
    done = subprocess.run(
        [sys.executable, str(RUNNER)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout
