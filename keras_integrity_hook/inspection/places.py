# SPDX-License-Identifier: Apache-2.0
"""Where something stands in a configuration, in the user's terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_UNSAID = frozenset({"config", "layers", "layer"})


class Place:
    """A value of a configuration, and the way there from its root.

    Attributes:
        value: what stands there.
        depth: how many objects and lists are around it.
    """

    __slots__ = ("_above", "_key", "depth", "value")

    def __init__(self, value: Any, above: Place | None = None, key: str | int = "") -> None:
        """``value`` under ``key`` of what stands at ``above``; the root where that is None."""
        self.value = value
        self._above = above
        self._key = key
        self.depth: int = 0 if above is None else above.depth + 1

    def below(self) -> Iterator[Place]:
        """The objects and lists in it, the last one first."""
        value = self.value
        if type(value) is dict:
            for key in reversed(value):
                inner = value[key]
                if type(inner) is dict or type(inner) is list:
                    yield Place(inner, self, key)
        elif type(value) is list:
            for number in range(len(value) - 1, -1, -1):
                inner = value[number]
                if type(inner) is dict or type(inner) is list:
                    yield Place(inner, self, number)

    def config(self) -> dict[str, Any]:
        """The ``config`` of an object; empty where that is none."""
        inner = self.value.get("config")
        return inner if isinstance(inner, dict) else {}

    def inner(self, key: str) -> str:
        """How the text under ``key`` of this object's config is named."""
        return f"{self} > {key}" if str(self) else key

    def __str__(self) -> str:
        """``layer 'dense_3' > activation``; empty for the root."""
        steps: list[str] = []
        at: Place | None = self
        while at is not None:
            named = _named(at.value)
            if named:
                steps.append(named)
            elif isinstance(at._key, str) and at._key not in _UNSAID and at._key:
                steps.append(at._key)
            at = at._above
        return " > ".join(reversed(steps))


def _named(value: Any) -> str:
    """``layer 'dense_3'`` for the configuration of something that has a name."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return ""
    config = value.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return f"{value['class_name']} '{name}'" if isinstance(name, str) else ""
