# SPDX-License-Identifier: Apache-2.0
"""Records as the texts that stand in a database: JSON, in the order of their fields.

They are a cache of our own and never leave it: what is no record is damage, and said to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry.records import Content, Mark, Model, Recall, Stage

T = TypeVar("T")
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def of_stages(stages: Mapping[str, Stage]) -> str:
    return _spelled(stages)


def model(name: str, stages: str) -> Model:
    """The record of a model; raises RegistryError, as all of these."""
    return Model(name, _read(stages, _stages))


def of_content(content: Content) -> str:
    return _spelled(content)


def content(text: str) -> Content:
    return _read(text, _content)


def of_recalls(recalls: tuple[Recall, ...]) -> str:
    return _spelled(recalls)


def recalls(text: str) -> tuple[Recall, ...]:
    return _read(text, _recalls)


def of_names(names: tuple[str, ...]) -> str:
    return _spelled(names)


def names(text: str) -> tuple[str, ...]:
    return _read(text, _names)


def of_numbers(numbers: tuple[int, ...]) -> str:
    return _spelled(numbers)


def numbers(text: str) -> tuple[int, ...]:
    return _read(text, lambda value: tuple(map(int, value)))


def _spelled(value: Any) -> str:
    return _ENCODER.encode(value)


def _read(text: str, reader: Callable[[Any], T]) -> T:
    try:
        return reader(json.loads(text))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise RegistryError(
            "the registry's state is damaged",
            remedy="'keras-integrity registry rebuild' makes it anew from the log.",
        ) from None


def _stages(value: Any) -> dict[str, Stage]:
    return {
        name: Stage(
            tuple(Mark(*mark) for mark in present),
            Mark(*high_water),
            tuple(Mark(*mark) for mark in left),
        )
        for name, (present, high_water, left) in value.items()
    }


def _content(value: Any) -> Content:
    digests, algorithms, versions, found = value
    pairs = tuple((name, version) for name, version in versions)
    return Content(_names(digests), dict(algorithms), pairs, _recalls(found))


def _recalls(value: Any) -> tuple[Recall, ...]:
    return tuple(Recall(reason, event, time, _names(by)) for reason, event, time, by in value)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value))
