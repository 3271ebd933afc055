# SPDX-License-Identifier: Apache-2.0
"""Write the parts of the harmless corpus that are named on the command line."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path

PARTS = ("layers", "compiled", "operations", "saved", "named", "applications", "older", "presets")
"""Each is a module with ``write(folder)``, which writes its models there, one at a time."""


def main(folder: Path, parts: list[str]) -> None:
    """Write ``parts`` below ``folder``, each into a folder of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    for part in parts:
        module = importlib.import_module(f"tests.inspection.corpus.harmless.{part}")
        made = folder / part
        made.mkdir(parents=True)
        module.write(made)
        print(part, sum(1 for _ in made.iterdir()), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
