# SPDX-License-Identifier: Apache-2.0
"""A policy file: TOML 1.0, whose every key is known and whose every value fits, or an error that
names the line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NamedTuple

from keras_integrity_hook.errors import ConfigurationError, printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import patterns
from keras_integrity_hook.settings.choices import Mode, Require
from keras_integrity_hook.settings.schema import KEYS, Scope
from keras_integrity_hook.settings.value_types import PathOrURI

_ALL = "all"
_GROUPS = {scope.value: scope for scope in (Scope.LOADS, Scope.SAVES)}
_REGISTRY = frozenset(("registry", "registry_id", "stages", "registry_max_age"))
_MACHINE_ONLY = ("lock", "allow_opt_out")
_TABLE = re.compile(r"\s*\[")
_RULE = re.compile(r"\s*\[\[\s*[\"']?rules[\"']?\s*\]\]")


class Layer(Enum):
    """Who wrote a policy file."""

    MACHINE = "machine"
    USER = "user"
    PROJECT = "project"


class Entry(NamedTuple):
    """A value, and where it was written, in words."""

    value: Any
    origin: str


class Rule(NamedTuple):
    """What is demanded at paths that match ``pattern``."""

    pattern: str
    entries: Mapping[str, Entry]
    origin: str


class PolicyFile(NamedTuple):
    """A policy file that is in order.

    Attributes:
        path: where it lies.
        entries: the settings at its top.
        rules: in the order in which they were written.
        locked: the settings that are fixed by it; only the machine's policy can do that.
    """

    path: str
    entries: Mapping[str, Entry]
    rules: tuple[Rule, ...]
    locked: frozenset[str]


def parse(data: bytes, path: str, layer: Layer) -> PolicyFile:
    """The policy that ``data``, the bytes of the file at ``path``, spells.

    Raises:
        ConfigurationError: it is no TOML, or a key or value is not one of those allowed.
    """
    text, value = loads(data, path)
    return _Reader(text, path, layer).read(value)


class _Reader:
    """Reads one file, and knows its lines."""

    def __init__(self, text: str, path: str, layer: Layer) -> None:
        self._lines = text.splitlines()
        self._headings = [n for n, line in enumerate(self._lines, 1) if _RULE.match(line)]
        self._path = path
        self._base = path.rpartition("/")[0] or "/"
        self._layer = layer

    def read(self, value: dict[str, Any]) -> PolicyFile:
        rules = value.pop("rules", [])
        if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
            raise self._error("rules", None, "rules are written as [[rules]] tables")
        if len(rules) > LIMITS.policy_rules:
            raise self._error("rules", None, f"more than {LIMITS.policy_rules} rules")
        for key in _MACHINE_ONLY:
            if key in value and self._layer is not Layer.MACHINE:
                cause = f"{key} can only stand in the machine's policy"
                raise self._error(key, None, cause)
        locked = self._locked(value.pop("lock", []), value.pop("allow_opt_out", True))
        entries = self._entries(value, None)
        if "mode" in locked and entries.get("mode", Entry(None, "")).value is Mode.OFF:
            raise self._error("mode", None, 'mode is locked, and to lock "off" protects nobody')
        read = tuple(self._rule(rule, index) for index, rule in enumerate(rules))
        tables = (entries, *(rule.entries for rule in read))
        return PolicyFile(self._path, entries, read, _with_registry(locked, tables))

    def _locked(self, lock: Any, allow_opt_out: Any) -> frozenset[str]:
        if not isinstance(allow_opt_out, bool):
            raise self._error("allow_opt_out", None, "allow_opt_out is true or false")
        words = [lock] if lock == _ALL else lock
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise self._error("lock", None, 'lock is "all" or a list of settings')
        locked: set[str] = set() if allow_opt_out else {"mode"}
        for word in words:
            if word == _ALL:
                locked |= set(KEYS)
            elif word in _GROUPS:
                locked |= {name for name, key in KEYS.items() if key.scope is _GROUPS[word]}
            elif word in KEYS:
                locked.add(word)
            else:
                known = [*KEYS, *_GROUPS, _ALL]
                cause = f"lock names an unknown setting '{printable(word)}'"
                raise self._error("lock", None, cause + nearest(word, known))
        return frozenset(locked)

    def _rule(self, rule: dict[str, Any], index: int) -> Rule:
        pattern = rule.pop("path", None)
        if not isinstance(pattern, str) or not pattern:
            raise self._error("path", index, "a rule needs a path, a pattern in quotes")
        pattern = self._whole(pattern, index)
        try:
            patterns.check(pattern)
        except ValueError as error:
            raise self._error("path", index, f"path is wrong; {printable(str(error))}") from None
        for name in rule:
            if name in KEYS and KEYS[name].scope is Scope.PROCESS:
                cause = f"{name} is about the whole process and cannot stand in a rule"
                raise self._error(name, index, cause)
        origin = f"{self._path}, line {self._line('path', index)}"
        return Rule(pattern, self._entries(rule, index), origin)

    def _whole(self, pattern: str, index: int) -> str:
        import os

        expanded: str = self._at_home(pattern, "path", index)
        is_whole = expanded.startswith(("/", "**/")) or os.path.isabs(expanded)
        if "/" not in expanded or is_whole or "://" in expanded:
            return "/" + expanded if expanded.startswith("**/") else expanded
        if self._layer is Layer.PROJECT:
            return os.path.join(self._base, expanded.removeprefix("./"))
        cause = "a rule's path here is absolute, or begins with ~/ or **/, or has no slash"
        raise self._error("path", index, cause)

    def _at_home(self, value: Any, name: str, index: int | None) -> Any:
        """``value`` with a leading ``~`` replaced by the home directory.

        In the machine's policy that of the user database: the variable ``HOME`` is the user's to
        set, and would move what root has locked (CWE-426).
        """
        import os

        from keras_integrity_hook.files import machine

        if not isinstance(value, str) or not value.startswith("~"):
            return value
        if self._layer is not Layer.MACHINE or value.partition("/")[0] != "~":
            return os.path.expanduser(value)
        home = machine.home()
        if home is None:
            cause = "~ stands for no directory: the user has no entry in the user database"
            raise self._error(name, index, cause)
        return home.rstrip("/") + value[1:]

    def _entries(self, values: Mapping[str, Any], index: int | None) -> dict[str, Entry]:
        return {name: self._entry(name, value, index) for name, value in values.items()}

    def _entry(self, name: str, value: Any, index: int | None) -> Entry:
        if name not in KEYS:
            near = nearest(name, self._known(index))
            raise self._error(name, index, f"there is no setting '{printable(name)}'{near}")
        if isinstance(KEYS[name].type, PathOrURI):
            value = self._at_home(value, name, index)
        try:
            read = KEYS[name].type.from_toml(value, self._base)
        except ValueError as error:
            cause, near = f"{name} is wrong; {error}", ""
            if KEYS[name].type.may_be_shown:
                cause = f"{name} is {printable(repr(value))}; {error}"
                near = nearest(value, quoted(str(error))) if isinstance(value, str) else ""
            raise self._error(name, index, cause + near) from None
        return Entry(read, f"{self._path}, line {self._line(name, index)}")

    @staticmethod
    def _known(index: int | None) -> list[str]:
        """The keys that may stand at the top, or in rule ``index``."""
        if index is None:
            return [*KEYS, *_MACHINE_ONLY, "rules"]
        return ["path", *(name for name, key in KEYS.items() if key.scope is not Scope.PROCESS)]

    def _error(self, name: str, index: int | None, cause: str) -> ConfigurationError:
        line = self._line(name, index)
        return ConfigurationError(f"line {line}: {cause}", path=self._path)

    def _line(self, name: str, index: int | None) -> int:
        """The line that sets ``name`` at the top or in rule ``index``, for people: tomllib tells
        none."""
        setting = re.compile(
            rf"""\s*["']?{re.escape(name)}["']?\s*[=.]|\s*\[+\s*{re.escape(name)}"""
        )
        if index is not None:
            first, stop = self._extent(index)
            found = (n for n in range(first, stop) if setting.match(self._lines[n - 1]))
            return next(found, first)
        stop = self._extent(0)[0] if self._headings else len(self._lines) + 1
        for number, line in enumerate(self._lines, 1):
            if setting.match(line) and (number < stop or _TABLE.match(line)):
                return number
        return 1

    def _extent(self, index: int) -> tuple[int, int]:
        """The lines of rule ``index``: the first, and that after the last."""
        if index >= len(self._headings):
            return 1, 1  # written in one line, as [{…}, {…}]
        return self._headings[index], [*self._headings, len(self._lines) + 1][index + 1]


def _with_registry(locked: frozenset[str], tables: Iterable[Mapping[str, Entry]]) -> frozenset[str]:
    """What is locked: with the demand that models be registered, where, or a user would name a
    registry of his own."""
    if "require" not in locked:
        return locked
    demands = (table["require"].value for table in tables if "require" in table)
    is_asked = any(demand.names(Require.REGISTERED) for demand in demands)
    return locked | _REGISTRY if is_asked else locked


def loads(data: bytes, path: str) -> tuple[str, dict[str, Any]]:
    """The text of the TOML file at ``path``, and what it spells.

    Raises:
        ConfigurationError: it is no TOML.
    """
    import tomllib

    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8 text", path=path) from None
    try:
        # For a key of n parts tomllib keeps n * n / 2 of them.
        if any(line.count(".") > LIMITS.toml_dots for line in text.split("\n")):
            raise ConfigurationError(f"a line has over {LIMITS.toml_dots} dots", path=path)
        return text, tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        cause = f"is not a TOML file: {printable(str(error))}"
        raise ConfigurationError(cause, path=path) from None


def quoted(text: str) -> list[str]:
    """The words in double quotes of a message: what is allowed."""
    return re.findall(r'"(\w+)"', text)


def nearest(word: str, known: Iterable[str]) -> str:
    """What ``word`` was meant to be, as the end of a message; empty if nothing is near."""
    import difflib

    found = difflib.get_close_matches(word, [one for one in known if one != word], n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
