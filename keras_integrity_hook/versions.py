# SPDX-License-Identifier: Apache-2.0
"""Versions of models, PEP 440: which spellings are one version, and which is the higher."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any


def is_version(text: str) -> bool:
    """Whether ``text`` spells a version as PEP 440 has them."""
    from packaging.version import InvalidVersion, Version

    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


@functools.lru_cache(maxsize=256)
def same(text: str) -> str:
    """The one spelling of all that mean the same version: ``"1.0"``, ``"v1.0.0"`` are ``"1"``.

    Args:
        text: a version, see :func:`is_version`.
    """
    from packaging.utils import canonicalize_version

    return canonicalize_version(text)


def is_below(left: str, right: str) -> bool:
    """Whether the version ``left`` is lower than ``right``; False where one of them is none."""
    return left != right and _compared(operator.lt, left, right)


def is_at_least(left: str, right: str) -> bool:
    """Whether the version ``left`` is no lower than ``right``; False where one of them is none."""
    return _compared(operator.ge, left, right)


def _compared(how: Callable[[Any, Any], bool], left: str, right: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return how(Version(left), Version(right))
    except InvalidVersion:
        return False


def highest_first(texts: Iterable[str]) -> tuple[str, ...]:
    """``texts``, which are versions, from the highest to the lowest."""
    from packaging.version import Version

    return tuple(sorted(texts, key=Version, reverse=True))
