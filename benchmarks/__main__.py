# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks``: measure, print the table, write it with a plot.

``python -m benchmarks compare --against PYTHON`` compares two installs (benchmarks/compare.py).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

GIB_IN_MB = 1074


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", default="100,500", help="model sizes in MB (default 100,500)")
    parser.add_argument("--runs", type=int, default=5, help="rounds per case (default 5)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--nightly", action="store_true", help="add a model of 1 GiB")
    parser.add_argument("--skip-startup", action="store_true", help="do not build environments")
    parser.add_argument(
        "--files", type=Path, help="where to keep the models meanwhile (default: TMPDIR)"
    )
    return parser.parse_args()


def main() -> None:
    """Run every case and write the results; or compare two installs."""
    if sys.argv[1:2] == ["compare"]:
        from benchmarks import compare

        compare.main(sys.argv[2:])
        return
    options = arguments()
    sizes = [int(size) for size in options.sizes.split(",") if size]
    if options.nightly:
        sizes.append(GIB_IN_MB)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from benchmarks import cases, report, sets, startup, trust

    results = [] if options.skip_startup else startup.startup()
    with tempfile.TemporaryDirectory(dir=options.files) as folder:
        results += cases.small(Path(folder))
    with tempfile.TemporaryDirectory(dir=options.files) as folder:
        results += trust.small(Path(folder))
    for size in sizes:
        for suffix in cases.FORMATS:
            with tempfile.TemporaryDirectory(dir=options.files) as folder:
                results += cases.large(size * 1_000_000, suffix, Path(folder), options.runs)
        for case in (sets.saved_model, sets.directory, sets.shards):
            with tempfile.TemporaryDirectory(dir=options.files) as folder:
                results += case(size * 1_000_000, Path(folder), options.runs)
        with tempfile.TemporaryDirectory(dir=options.files) as folder:
            results += trust.large(size * 1_000_000, Path(folder), options.runs)
    written = report.write(results, options.out, options.runs)
    print(report.markdown(results, options.runs))
    print("\n".join(str(path) for path in written))


if __name__ == "__main__":
    main()
