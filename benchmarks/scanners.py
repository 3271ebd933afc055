# SPDX-License-Identifier: Apache-2.0
"""What another scanner says of files: run by the interpreter that has it, nothing of ours in it.

``PYTHON scanners.py modelaudit|modelscan`` reads paths, one a line, and answers each with a line of
JSON: whether anything was found, and the seconds that it took without the scanner's own start.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any


def modelaudit() -> Callable[[str], bool]:
    """Whether modelaudit has a warning or something worse to say."""
    scan = import_module("modelaudit.core").scan_model_directory_or_file

    def is_found(path: str) -> bool:
        said: Any = scan(path)
        return any(issue.severity.value in ("warning", "critical") for issue in said.issues)

    return is_found


def modelscan() -> Callable[[str], bool]:
    """Whether modelscan has an issue of any severity."""
    scanner = import_module("modelscan.modelscan").ModelScan

    def is_found(path: str) -> bool:
        return bool(scanner().scan(path)["summary"]["total_issues"])

    return is_found


def main(name: str) -> None:
    """Answer every line."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the scanner prints
    is_found = {"modelaudit": modelaudit, "modelscan": modelscan}[name]()
    for line in sys.stdin:
        began = time.perf_counter()
        try:
            answer: bool | None = is_found(line.strip())
        except BaseException:  # of a hostile file, in somebody else's parser
            answer = None
        seconds = time.perf_counter() - began
        print(json.dumps({"found": answer, "seconds": seconds}), file=channel, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
