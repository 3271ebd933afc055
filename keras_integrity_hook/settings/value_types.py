# SPDX-License-Identifier: Apache-2.0
"""The types of settings: what a TOML value or the text of a variable becomes.

A value that does not fit raises ValueError with what is allowed, a clause.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_CENTURY = 36525 * 86400
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_FLAGS = {"true": True, "yes": True, "on": True, "1": True}
_FLAGS |= {"false": False, "no": False, "off": False, "0": False}


class Type(ABC):
    """How a setting is written; ``allowed`` says it to a person."""

    allowed: str
    may_be_shown = True
    """Whether a value that is wrong may be repeated in a message."""

    @abstractmethod
    def from_toml(self, value: Any, base: str) -> Any:
        """The value of the setting. ``base`` is the directory that relative paths start from."""

    def from_text(self, text: str, base: str) -> Any:
        """The value that an environment variable spells."""
        return self.from_toml(text, base)


class Choice(Type):
    """One word of several; ``refused`` tells why a word that is known may not be used."""

    def __init__(self, choices: type[StrEnum], refused: dict[str, str] | None = None) -> None:
        self._choices = choices
        self._refused = refused or {}
        self.allowed = "one of " + ", ".join(f'"{one.value}"' for one in choices)

    def from_toml(self, value: Any, base: str) -> StrEnum:
        if value in self._refused:
            raise ValueError(self._refused[value])
        try:
            return self._choices(value)
        except ValueError:
            raise ValueError(f"allowed is {self.allowed}") from None

    def from_text(self, text: str, base: str) -> StrEnum:
        return self.from_toml(text.lower(), base)


class Flag(Type):
    """True or false."""

    allowed = "true or false"

    def from_toml(self, value: Any, base: str) -> bool:
        if not isinstance(value, bool):
            raise ValueError(f"allowed is {self.allowed}")
        return value

    def from_text(self, text: str, base: str) -> bool:
        if text.lower() not in _FLAGS:
            raise ValueError(f"allowed is {self.allowed}")
        return _FLAGS[text.lower()]


class Count(Type):
    """A number of things, at least one."""

    allowed = "a whole number from 1 to 64"

    def from_toml(self, value: Any, base: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:
            raise ValueError(f"allowed is {self.allowed}")
        return value

    def from_text(self, text: str, base: str) -> int:
        return self.from_toml(int(text) if text.isascii() and text.isdigit() else text, base)


class Text(Type):
    """A text that is not empty, and that ``fits`` accepts."""

    def __init__(self, allowed: str = "a text", fits: Callable[[str], object] = bool) -> None:
        self.allowed = allowed
        self._fits = fits

    def from_toml(self, value: Any, base: str) -> str:
        if not isinstance(value, str) or not value.isprintable() or not self._fits(value):
            raise ValueError(f"allowed is {self.allowed}")
        return value


class PathOrURI(Type):
    """A path; relative to the policy file, or from a variable to the working directory.

    Anything that begins with a scheme of several letters is not a path and stays as it is.
    """

    allowed = "a path"
    _scheme = re.compile(r"[A-Za-z][\w.+-]+:")

    def from_toml(self, value: Any, base: str) -> str:
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError(f"allowed is {self.allowed}")
        if self._scheme.match(value):
            return value
        return os.path.normpath(os.path.join(base, os.path.expanduser(value)))


class KeyReference(PathOrURI):
    """What names a private key. Somebody will write the key itself there, and it must not show."""

    allowed = "the path of a key, env:NAME, or the URI of a key kept elsewhere; not the key itself"
    may_be_shown = False

    def from_toml(self, value: Any, base: str) -> str:
        if isinstance(value, str) and ("PRIVATE KEY" in value or not value.isprintable()):
            raise ValueError(f"allowed is {self.allowed}")
        return super().from_toml(value, base)


class RegistryURL(Type):
    """Where a registry is; the path of a SQLite database may be relative, as others. Without a
    password: a policy is a file that many people read, and what is in force is shown."""

    allowed = (
        "sqlite:///PATH, postgresql+psycopg://HOST/DATABASE, https://HOST/PATH, or file:///PATH of "
        "a mirror; http:// on this machine alone; and no password in it (PostgreSQL's is read from "
        "~/.pgpass)"
    )
    may_be_shown = False
    _sqlite = "sqlite:///"
    _secret = re.compile(r"//[^/]*:[^/]*@|[?&]password=", re.IGNORECASE)
    _forms = (
        re.compile(r"https://[^/?#@]+(?:/[^?#]*)?"),
        re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?(?:/[^?#]*)?"),
        re.compile(r"postgresql\+psycopg://[^#]+"),
        re.compile(r"file:///[^?#]+"),
    )

    def from_toml(self, value: Any, base: str) -> str:
        if not isinstance(value, str) or not value.isprintable() or self._secret.search(value):
            raise ValueError(f"allowed is {self.allowed}")
        if value.startswith(self._sqlite) and value != self._sqlite:
            return self._sqlite + os.path.join(base, value.removeprefix(self._sqlite))
        if not any(form.fullmatch(value) for form in self._forms):
            raise ValueError(f"allowed is {self.allowed}")
        return value


class Digest(Text):
    """A SHA-256."""

    def __init__(self) -> None:
        super().__init__("64 hex digits", re.compile(r"[0-9a-f]{64}").fullmatch)


class Names(Type):
    """A list of texts, in a variable separated by commas; of ``choices`` alone, if given."""

    def __init__(self, allowed: str, choices: tuple[str, ...] = ()) -> None:
        self.allowed = allowed
        self._choices = choices

    def from_toml(self, value: Any, base: str) -> tuple[str, ...]:
        is_list = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
        if not is_list or (self._choices and not set(value) <= set(self._choices)):
            raise ValueError(f"allowed is {self.allowed}")
        return tuple(value)

    def from_text(self, text: str, base: str) -> tuple[str, ...]:
        return self.from_toml([one.strip() for one in text.split(",")], base)


class Verdicts(Names):
    """A list of rules with the verdict of each. Whether there is such a rule is not known here: a
    newer version may have it, and a policy is for machines of several versions."""

    # Of a plug-in, its name and a colon come first.
    _form = re.compile(r"(?:[\w.-]+:)?[a-z0-9]+(?:-[a-z0-9]+)*=(?:fine|review|refuse)", re.ASCII)

    def __init__(self) -> None:
        super().__init__('a list such as "custom-object=refuse": rules, each with a verdict')

    def from_toml(self, value: Any, base: str) -> tuple[str, ...]:
        verdicts = super().from_toml(value, base)
        if not all(map(self._form.fullmatch, verdicts)):
            raise ValueError(f"allowed is {self.allowed}")
        return verdicts


class Duration(Type):
    """A length of time."""

    allowed = 'a length of time such as "90d", "12h" or "2w", of 100 years at most'

    def from_toml(self, value: Any, base: str) -> timedelta:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        seconds = int(found[1]) * _UNITS[found[2]] if found else 0
        if not 0 < seconds <= _CENTURY:
            raise ValueError(f"allowed is {self.allowed}")
        return timedelta(seconds=seconds)


def spelled(length: timedelta) -> str:
    """A length of time as a policy has it, in the largest unit that divides it: ``"90d"``."""
    seconds = int(length.total_seconds())
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
