# SPDX-License-Identifier: Apache-2.0
"""What a seal says of a model besides its bytes: its name and version, and how it came about.

All of it is the word of whoever sealed it. A signature says whose; without one it is a note.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple

from keras_integrity_hook._version import __version__
from keras_integrity_hook.contracts import stated as stated_contract
from keras_integrity_hook.errors import ConfigurationError, printable
from keras_integrity_hook.files import machine
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import statement
from keras_integrity_hook.settings import Settings

VERSIONS = ("python", "hook", "keras", "backend")
RESEAL = ("resealed", "previous_root")
# The hook's own words: whoever reads one of them can tell that nobody typed it.
_OWN = (*VERSIONS, "user", "host", "git", *RESEAL)
# Hexadecimal digits of the digests that may stand for training data; MD5 and SHA-1 may not.
_DIGESTS = {"sha256": 64, "sha384": 96, "sha512": 128, "blake2b": 128, "blake3": 64}
_AUTOMATIC = ("sequential", "functional", "model")


class Told(NamedTuple):
    """What a statement takes over: its fields of these names."""

    model: Mapping[str, str | None]
    provenance: Mapping[str, str]
    datasets: Mapping[str, str]
    expires: str | None
    inputs: Any


class _Stated(NamedTuple):
    """What the user states for the saves of a ``with`` block."""

    name: str | None = None
    version: str | None = None
    datasets: Mapping[str, str] = {}
    facts: Mapping[str, str] = {}

    def within(self, outer: _Stated) -> _Stated:
        """Both, where this one has the last word."""
        return _Stated(
            self.name or outer.name,
            self.version or outer.version,
            {**outer.datasets, **self.datasets},
            {**outer.facts, **self.facts},
        )


_stated: ContextVar[_Stated] = ContextVar("_stated", default=_Stated())  # noqa: B039 - immutable
_model_name: ContextVar[str | None] = ContextVar("_model_name", default=None)


@contextlib.contextmanager
def provenance(
    *,
    name: str | None = None,
    version: str | None = None,
    datasets: Mapping[str, str] | None = None,
    **facts: str,
) -> Iterator[None]:
    """State facts about the models that are saved or sealed in this ``with`` block.

    They stand in the seal, and signatures cover them. Blocks may be nested; the inner one has the
    last word. A block counts for its own thread and asynchronous task alone.

    Args:
        name: the model's name. A policy may demand it where the model is loaded.
        version: the model's version. A policy may demand a minimum.
        datasets: digests of what the model was trained on, each ``"sha256:<hex>"`` (or sha384,
            sha512, blake2b, blake3), by a name of your choice.
        **facts: anything else worth keeping, as text.

    Raises:
        ConfigurationError: a value is no text of one line, is too long, or has the name of a fact
            that the hook states itself; nothing is saved.

    Example:
        >>> import keras_integrity_hook
        >>> with keras_integrity_hook.provenance(name="churn", version="1.2.0", run="42"):
        ...     pass  # model.save("churn.keras")
    """
    stated = _Stated(
        None if name is None else _text("name", name, LIMITS.model_name),
        None if version is None else _text("version", version, LIMITS.model_name),
        _checked_datasets(datasets or {}),
        _checked_facts(facts),
    )
    with _stating(stated):
        yield


@contextlib.contextmanager
def naming(model: Any) -> Iterator[None]:
    """Let seals written in this block name the Keras ``model``, unless somebody says otherwise.

    A name that Keras made up (``sequential_3``) says nothing and differs from run to run, so it is
    not taken. The contract that the model was loaded with is kept.
    """
    token = _model_name.set(_given_name(model))
    try:
        with stated_contract.kept(stated_contract.of_model(model)):
            yield
    finally:
        _model_name.reset(token)


@contextlib.contextmanager
def resealing(reason: str, previous_root: str) -> Iterator[None]:
    """Let seals written in this block say that they replace another one, and why.

    Args:
        reason: one line of text.
        previous_root: the root that the older seal states, hexadecimal.

    Raises:
        ConfigurationError: the reason is empty, too long, or not one line.
    """
    facts = dict(zip(RESEAL, (checked_reason(reason), previous_root), strict=True))
    with _stating(_Stated(facts=facts)):
        yield


def checked_reason(reason: str) -> str:
    """``reason`` if it is one line that says something. Raises ConfigurationError."""
    return checked_line("reason", reason)


def checked_line(what: str, text: str) -> str:
    """As :func:`checked_reason`, for a text that is called ``what`` in the message."""
    return _text(what, text, LIMITS.fact)


def gathered(asked: Settings, created: datetime) -> Told:
    """What a seal made at ``created`` has to say, under the settings in force for the model."""
    stated = _stated.get()
    return Told(
        model={
            "name": stated.name or asked.model or _model_name.get(),
            "version": stated.version or asked.model_version,
        },
        provenance={**stated.facts, **_versions(), **_surroundings(asked.provenance)},
        datasets=dict(stated.datasets),
        expires=None if asked.valid_for is None else statement.spelled(created + asked.valid_for),
        inputs=stated_contract.current(),
    )


@contextlib.contextmanager
def _stating(stated: _Stated) -> Iterator[None]:
    token = _stated.set(stated.within(_stated.get()))
    try:
        yield
    finally:
        _stated.reset(token)


def _versions() -> dict[str, str]:
    facts = {"python": platform.python_version(), "hook": __version__}
    keras = sys.modules.get("keras")
    if keras is not None:
        facts["keras"] = str(getattr(keras, "__version__", "unknown"))
        backend = sys.modules.get("keras.src.backend")
        if backend is not None:
            facts["backend"] = str(backend.backend())
    return facts


def _surroundings(wanted: tuple[str, ...]) -> dict[str, str]:
    """The facts that settings ask for; one that cannot be had is left out."""
    sources: dict[str, Callable[[], str | None]] = {"user": _user, "host": _host, "git": _git}
    facts = {name: sources[name]() for name in wanted if name in sources}
    return {name: printable(text)[: LIMITS.fact] for name, text in facts.items() if text}


def _user() -> str:
    return machine.user_name() or str(system.geteuid())


def _host() -> str:
    return machine.name()


def _git() -> str | None:
    from keras_integrity_hook.saving import git

    try:
        return git.state(os.getcwd())
    except OSError:  # the working directory was deleted
        return None


def _given_name(model: Any) -> str | None:
    name = getattr(model, "name", None)
    if not isinstance(name, str) or not name.isprintable() or len(name) > LIMITS.model_name:
        return None
    kinds = "|".join(map(re.escape, (*_AUTOMATIC, _snake_case(type(model).__name__))))
    return None if re.fullmatch(rf"(?:{kinds})(?:_\d+)?", name) else name or None


def _snake_case(name: str) -> str:
    # As Keras makes a name up out of that of the class (keras.src.utils.naming.to_snake_case).
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _checked_facts(facts: Mapping[str, str]) -> dict[str, str]:
    _few(facts, "facts", LIMITS.facts)
    for key in facts:
        if _text("a fact's name", key, LIMITS.fact_name) in _OWN:
            raise _error(f"'{key}' is a fact that the hook states itself")
    return {key: _text(key, value, LIMITS.fact) for key, value in facts.items()}


def _checked_datasets(datasets: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(datasets, Mapping):
        raise _error("datasets is not a mapping of names to digests")
    _few(datasets, "datasets", LIMITS.datasets)
    return {
        _text("a dataset's name", key, LIMITS.fact): _digest(key, value)
        for key, value in datasets.items()
    }


def _digest(name: str, value: object) -> str:
    algorithm, _, digits = (value if isinstance(value, str) else "").partition(":")
    if len(digits) != _DIGESTS.get(algorithm) or not re.fullmatch("[0-9a-fA-F]+", digits):
        raise _error(
            f"the digest of dataset '{printable(name)}' is not written as '<algorithm>:<hex>' with "
            f"one of {', '.join(_DIGESTS)}"
        )
    return f"{algorithm}:{digits.lower()}"


def _few(values: Mapping[str, str], what: str, limit: int) -> None:
    if len(values) > limit:
        raise _error(f"there are {len(values)} {what}, and {limit} are the most")


def _text(what: str, value: object, limit: int) -> str:
    """``value`` if it is one line of text, not blank, of at most ``limit`` characters."""
    what = printable(what)
    if not isinstance(value, str):
        raise _error(f"{what} is of type {type(value).__name__}, not text")
    if not value.strip() or not value.isprintable():
        raise _error(f"{what} is empty or not one line of printable text")
    if len(value) > limit:
        raise _error(f"{what} has {len(value)} characters, and {limit} are the most")
    return value


def _error(cause: str) -> ConfigurationError:
    return ConfigurationError(cause, remedy="Correct it and try again; nothing was written.")
