# SPDX-License-Identifier: Apache-2.0
"""Distributions with plug-ins, as an installer leaves them in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(site: Path, module: str, source: str, points: Mapping[str, Mapping[str, str]]) -> str:
    """Put the distribution of one ``module`` into ``site``, which is returned.

    Args:
        points: entry points by group: their names and what each names.
    """
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = []
    for group, named in points.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in named.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return str(site)
