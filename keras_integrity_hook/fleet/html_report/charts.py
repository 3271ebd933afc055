# SPDX-License-Identifier: Apache-2.0
"""Numbers as shapes of inline SVG, in a square of 100 by 100 that the page stretches.

Only shapes are drawn: words and numbers stand in the page around them, where they keep their size
on every screen, are read aloud, and can be searched and copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

_LEAST = 0.8
"""Percent that a part has at least: a damaged model among a million is to be seen."""


class Segment(NamedTuple):
    """A part of a bar: where it begins and how wide it is, in percent."""

    name: str
    x: float
    width: float


class Column(NamedTuple):
    """A column: where it stands, and how high it is, in percent."""

    name: str
    x: float
    width: float
    height: float


def segments(parts: Iterable[tuple[str, int]]) -> list[Segment]:
    """A bar of ``parts`` side by side, without those of which there is none."""
    there = [(name, count) for name, count in parts if count > 0]
    whole = sum(count for _, count in there)
    widths = [max(100 * count / whole, _LEAST) for _, count in there]
    made, x = [], 0.0
    for (name, _), width in zip(there, widths, strict=True):
        scaled = 100 * width / sum(widths)
        made.append(Segment(name, round(x, 2), round(scaled, 2)))
        x += scaled
    return made


def line(values: Sequence[float]) -> str:
    """``points`` of a polyline through values of 0 to 100, from edge to edge."""
    return " ".join(f"{x:.2f},{100 - y:.2f}" for x, y in _placed(values))


def area(values: Sequence[float]) -> str:
    """The same as a polygon, down to the ground."""
    first, *_, last = [x for x, _ in _placed([*values, *values][: max(2, len(values))])]
    return f"{first:.2f},100 {line(values)} {last:.2f},100"


def columns(counts: Sequence[tuple[str, int]]) -> list[Column]:
    """One column for each, the highest as high as there is room."""
    most = max((count for _, count in counts), default=0)
    step = 100 / max(len(counts), 1)
    gap = step * 0.2
    return [
        Column(
            name,
            round(number * step + gap / 2, 2),
            round(step - gap, 2),
            round(max(100 * count / most, 1.0), 2) if count else 0.0,
        )
        for number, (name, count) in enumerate(counts)
    ]


def _placed(values: Sequence[float]) -> Iterator[tuple[float, float]]:
    steps = max(len(values) - 1, 1)
    for number, value in enumerate(values):
        yield 100 * number / steps, value
