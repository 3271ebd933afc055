# SPDX-License-Identifier: Apache-2.0
"""Results as a Markdown table, as JSON with every sample, and as a plot."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measure import cores
from benchmarks.results import Result

HEADER = "| case | figure | measured | target | |\n|---|---|---:|---:|---|"


def machine() -> dict[str, str]:
    """What a reader needs to judge the numbers."""
    facts = {"cores": str(cores()), "machine": platform.machine(), "python": sys.version.split()[0]}
    # Over about 1.5 somebody else was using the cores, and ratios of saves mean little.
    facts["load average"] = f"{os.getloadavg()[1]:.1f}"
    for name in ("keras", "tensorflow", "h5py", "numpy", "model_signing"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def write(results: Sequence[Result], folder: Path, runs: int) -> list[Path]:
    """Write results.md, results.json and, where matplotlib is installed, results.png."""
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "results.md"
    text.write_text(markdown(results, runs))
    data = folder / "results.json"
    facts = {"machine": machine(), "runs": runs, "results": [record(each) for each in results]}
    data.write_text(json.dumps(facts, indent=1) + "\n")
    written = [text, data]
    picture = folder / "results.png"
    if plot(results, picture):
        written.append(picture)
    return written


def record(result: Result) -> dict[str, object]:
    """One result with its samples (seconds, rounded to the microsecond)."""
    return {
        "case": result.case,
        "what": result.what,
        "value": round(result.value, 4),
        "unit": result.unit,
        "target": result.target,
        "samples": {
            name: [round(seconds, 6) for seconds in values]
            for name, values in result.samples.items()
        },
    }


def markdown(results: Sequence[Result], runs: int) -> str:
    """The table, with what it was measured on."""
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    rows = [
        f"| {each.case} | {each.what} | {each.value:.2f} {each.unit} | "
        f"{'' if each.target is None else f'≤ {each.target:g} {each.unit}'} | {each.verdict} |"
        for each in results
    ]
    explanation = (
        f"Medians of {runs} interleaved rounds, warm page cache. L = one parallel SHA-256 pass "
        "over the same file with all cores, in the same run."
    )
    return "\n".join([explanation, "", facts, "", HEADER, *rows, ""])


def plot(results: Sequence[Result], path: Path) -> bool:
    """Bars of every figure in units of L, with the targets; False where matplotlib is missing."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed: no plot")
        return False
    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [each for each in results if each.unit == "L"]
    if not shown:
        print("nothing measured in units of L: no plot")
        return False
    figure, axes = pyplot.subplots(figsize=(10, 1 + 0.32 * len(shown)), layout="constrained")
    places = range(len(shown))
    peers = [each.target is None for each in shown]
    colours = ["#b8b8b8" if peer else "#3b6ea8" for peer in peers]
    bars = axes.barh(places, [each.value for each in shown], color=colours)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    for place, each in zip(places, shown, strict=True):
        if each.target is not None:
            axes.plot([each.target] * 2, [place - 0.4, place + 0.4], color="#c0392b")
    axes.set_yticks(places, [f"{each.case}: {each.what}" for each in shown])
    axes.invert_yaxis()
    axes.margins(x=0.1, y=0.02)
    figure.supxlabel("units of L, one parallel SHA-256 pass; red: target, grey: for comparison")
    figure.savefig(path, dpi=120)
    return True
