# SPDX-License-Identifier: Apache-2.0
"""Where something stands in a configuration, in the user's terms."""

from __future__ import annotations

from typing import Any

_UNSAID = frozenset({"config", "layers", "layer"})


# value, the step above or None, the key in there, how many objects and lists are around it
Step = tuple[Any, Any, str | int, int]


def root(value: Any) -> Step:
    """The step that the walk begins with."""
    return value, None, "", 0


def below(step: Step) -> list[Step]:
    """The steps to the objects and lists in an object or list, the last one first."""
    value, depth = step[0], step[3] + 1
    items = value.items() if type(value) is dict else enumerate(value)
    inner: list[Step] = [
        (one, step, key, depth) for key, one in items if type(one) is dict or type(one) is list
    ]
    inner.reverse()
    return inner


class Place:
    """An object of a configuration that is looked at, and where it stands.

    Attributes:
        value: the object.
    """

    __slots__ = ("_step", "value")

    def __init__(self, step: Step) -> None:
        """The object that ``step`` leads to."""
        self.value: Any = step[0]
        self._step = step

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
        at: Step | None = self._step
        while at is not None:
            value, above, key, _ = at
            named = _named(value)
            if named:
                steps.append(named)
            elif isinstance(key, str) and key and key not in _UNSAID:
                steps.append(key)
            at = above
        return " > ".join(reversed(steps))


def _named(value: Any) -> str:
    """``layer 'dense_3'`` for the configuration of something that has a name."""
    if not isinstance(value, dict) or not isinstance(value.get("class_name"), str):
        return ""
    config = value.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    return f"{value['class_name']} '{name}'" if isinstance(name, str) else ""
