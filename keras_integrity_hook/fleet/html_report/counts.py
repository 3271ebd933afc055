# SPDX-License-Identifier: Apache-2.0
"""Tallies and short lists over findings without number: what they keep does not grow with them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keras_integrity_hook.limits import LIMITS

Item = TypeVar("Item")

OTHERS = "others"


@dataclass(frozen=True)
class Share:
    """One line of a tally.

    Attributes:
        name: what was counted.
        count: how often.
        whole: of how many.
    """

    name: str
    count: int
    whole: int

    @property
    def percent(self) -> float:
        return 100 * self.count / self.whole if self.whole else 0.0


class Tally:
    """How often each name was there. Names beyond the limit are counted together."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self.others = 0

    def add(self, name: str, count: int = 1) -> bool:
        """Count ``name``; whether it is the first time."""
        if name in self._counts:
            self._counts[name] += count
            return False
        if len(self._counts) >= LIMITS.report_names:
            self.others += count
            return False
        self._counts[name] = count
        return True

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def __len__(self) -> int:
        return len(self._counts)

    def shares(self, whole: int) -> list[Share]:
        """The most frequent first, as many as a page has room for; the rest as one line."""
        ranked = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
        shown = ranked[: LIMITS.report_groups]
        rest = self.others + sum(count for _, count in ranked[LIMITS.report_groups :])
        lines = [Share(name, count, whole) for name, count in shown]
        return [*lines, Share(OTHERS, rest, whole)] if rest else lines

    def by_name(self) -> Mapping[str, int]:
        """All of them, in the order of the names."""
        return dict(sorted(self._counts.items()))


class Shortlist(Generic[Item]):
    """The first rows in an order, as many as a page has room for, and how many there were.

    Args:
        rank: what sorts them, the smallest first; None for the order in which they come.
    """

    def __init__(self, rank: Callable[[Item], Any] | None = None) -> None:
        self._rank = rank
        self._kept: list[tuple[Any, int, Item]] = []
        self.count = 0

    def add(self, item: Item) -> None:
        self.count += 1
        if self._rank is None and len(self._kept) >= LIMITS.report_rows:
            return
        rank = self._rank(item) if self._rank is not None else 0
        self._kept.append((rank, self.count, item))
        if len(self._kept) >= 2 * LIMITS.report_rows:
            self._kept = heapq.nsmallest(LIMITS.report_rows, self._kept, key=lambda one: one[:2])

    def extend(self, count: int, first: Iterable[Item]) -> None:
        """Add ``count`` rows in the order in which they come, of which these are the first."""
        before = self.count
        for item in first:
            self.add(item)
        self.count = before + count

    def __iter__(self) -> Iterator[Item]:
        kept = heapq.nsmallest(LIMITS.report_rows, self._kept, key=lambda one: one[:2])
        return iter([item for _, _, item in kept])

    def __len__(self) -> int:
        """How many are kept, not how many there were."""
        return min(len(self._kept), LIMITS.report_rows)

    @property
    def more(self) -> int:
        """How many there are besides those that are kept."""
        return self.count - len(self)
