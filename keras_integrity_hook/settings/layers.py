# SPDX-License-Identifier: Apache-2.0
"""Which setting is in force, out of five places that may name one.

For each setting, the first of these that has it:

1. what the machine's policy locks is taken from there alone: its first rule for the path, its top,
   or the default;
2. the first rule for the path, of the project's file, then the user's, then the machine's;
3. the environment variable;
4. the top of the project's file, then of the user's, then of the machine's;
5. the default.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from keras_integrity_hook.errors import ConfigurationError, IntegrityError, printable
from keras_integrity_hook.files import owned, root_owned
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.settings import patterns, toml_file
from keras_integrity_hook.settings.schema import KEYS, Settings
from keras_integrity_hook.settings.toml_file import Entry, Layer, PolicyFile, Rule

PREFIX = "KERAS_INTEGRITY_"
MODE_VARIABLE = "KERAS_INTEGRITY"
POLICY_VARIABLE = PREFIX + "POLICY"
HIDDEN = b"""
mode = "enforce"
unsealed = "reject"
allow_opt_out = false
lock = ["unsealed"]
"""
"""What is in force where the machine's policy may have been hidden: nobody knows what it says."""
_OURS = MODE_VARIABLE.encode()
# Variables of this prefix that are no settings.
_OTHERS = tuple(
    PREFIX + name for name in ("POLICY", "TRUST", "KEY_PASSPHRASE", "KEY_PASSPHRASE_FILE")
)


class Layers(NamedTuple):
    """The policy files there are, nearest first, and the variables that are set."""

    files: tuple[PolicyFile, ...]
    machine: PolicyFile | None
    variables: dict[str, Entry]

    @property
    def locked(self) -> frozenset[str]:
        """The settings that the machine's policy has fixed."""
        return self.machine.locked if self.machine else frozenset()

    def rule_for(self, path: str | None) -> Rule | None:
        """The first rule for the first of its names that has one."""
        return _first_rule(self.files, self.names(path))

    def names(self, path: str | None) -> tuple[str, ...]:
        """The names of ``path`` that rules are for; where there are no rules nobody looks."""
        if path is None or not any(file.rules for file in self.files):
            return ()
        return patterns.names(path)


class _Question(NamedTuple):
    """All that settings follow from: where it is the same, so are they.

    Attributes:
        rule: the first rule for the path.
        locking: the machine's first rule for the path.
    """

    layers: Layers
    rule: Rule | None
    locking: Rule | None


# One load or save asks several times, and seldom does anything change between.
_latest: tuple[_Question, Settings] | None = None


def current() -> Layers:
    """What is configured now; files are read each time they are asked for, and parsed once.

    Raises:
        ConfigurationError: a file or variable has a mistake.
        InsecurePermissionsError: somebody else could have written one of the files.
    """
    by_machine = _machine_file()
    found = [*_own_files(), *([by_machine] if by_machine else [])]
    return Layers(tuple(found), by_machine, _variables())


def resolve(layers: Layers, path: str | None) -> Settings:
    """The settings in force at ``path``, or for the process where it is None.

    Where links give it several names those of the first that has a rule; see :func:`resolve_each`.
    """
    return _resolved(layers, layers.names(path))


def resolve_each(
    layers: Layers, paths: tuple[str, ...], parts: Iterable[str] = ()
) -> tuple[Settings, ...]:
    """The settings in force for a model, without duplicates; see :func:`settings.at_each_name`."""
    if not any(file.rules for file in layers.files):
        return (_resolved(layers, paths[:1]),)
    names = [layers.names(path) for path in paths]
    ruled = [some for some in names if _first_rule(layers.files, some) is not None]
    inner = [name for part in parts for name in layers.names(part)]
    inner = [name for name in inner if _first_rule(layers.files, (name,)) is not None]
    found: list[Settings] = []
    for name in dict.fromkeys([*chain.from_iterable(ruled or names[:1]), *inner]):
        settings = _resolved(layers, (name,))
        if settings not in found:
            found.append(settings)
    return tuple(found)


def _resolved(layers: Layers, names: tuple[str, ...]) -> Settings:
    global _latest  # noqa: PLW0603
    by_machine = () if layers.machine is None else (layers.machine,)
    asked = _Question(layers, _first_rule(layers.files, names), _first_rule(by_machine, names))
    if _latest is not None and _latest[0] == asked:
        return _latest[1]
    found = _answer(asked)
    _latest = asked, found
    return found


def _answer(asked: _Question) -> Settings:
    layers, rule, locking = asked
    by_machine = () if layers.machine is None else (layers.machine,)
    entries = {}
    for name, key in KEYS.items():
        chosen = (
            _among(name, locking, {}, by_machine)
            if name in layers.locked
            else _among(name, rule, layers.variables, layers.files)
        )
        entries[name] = chosen or Entry(key.default, "default")
    values = {name: entry.value for name, entry in entries.items()}
    origins = {name: entry.origin for name, entry in entries.items()}
    files = tuple(file.path for file in layers.files)
    return Settings(**values, locked=layers.locked, origins=origins, files=files)


def of_machine() -> Layers:
    """The machine's policy by itself; nothing where that is the one with a mistake."""
    try:
        found = _machine_file()
    except IntegrityError:
        found = None
    return Layers((found,) if found else (), found, {})


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return MODE_VARIABLE if name == "mode" else PREFIX + name.upper()


def _machine_file() -> PolicyFile | None:
    found = root_owned.look_for(root_owned.POLICY, LIMITS.policy)
    if not isinstance(found, root_owned.Missing):
        return _parsed(found, root_owned.POLICY, Layer.MACHINE)
    if found.doubt is None:
        return None
    return _parsed(HIDDEN, f"{root_owned.POLICY} (hidden)", Layer.MACHINE)


def _own_files() -> Iterator[PolicyFile]:
    """The project's policy and the user's."""
    project = os.environ.get(POLICY_VARIABLE, "")
    if project:
        path = os.path.abspath(project)
        data = owned.read_own(path, LIMITS.policy, named=True)
        if data is None:
            # Whoever named a file relies on it.
            raise ConfigurationError(f"{POLICY_VARIABLE} names a file that is not there", path=path)
        yield _parsed(data, path, Layer.PROJECT)
    path = owned.user_file("policy.toml")
    data = owned.read_own(path, LIMITS.policy, named=False)
    if data is not None:
        yield _parsed(data, path, Layer.USER)


@functools.lru_cache(maxsize=16)
def _parsed(data: bytes, path: str, layer: Layer) -> PolicyFile:
    return toml_file.parse(data, path, layer)


def _variables() -> dict[str, Entry]:
    """The settings that environment variables spell; one that is empty is not set."""
    found = {}
    # As bytes: to decode a whole environment takes as long as all the rest.
    ours = [os.fsdecode(name) for name in os.environb if name.startswith(_OURS)]
    for variable in ours:
        text = "" if variable in _OTHERS else os.environ[variable]
        name = "mode" if variable == MODE_VARIABLE else variable.removeprefix(PREFIX).lower()
        if text:
            found[name] = _variable(variable, name, text)
    return found


def _variable(variable: str, name: str, text: str) -> Entry:
    if variable_of(name) != variable or name not in KEYS:
        near = toml_file.nearest(variable, [*map(variable_of, KEYS), *_OTHERS])
        cause = f"there is no setting for the environment variable {printable(variable)}{near}"
        raise ConfigurationError(cause)
    try:
        value = KEYS[name].type.from_text(text, os.getcwd())
    except ValueError as error:
        cause = f"the environment variable {variable} is wrong; {error}"
        if KEYS[name].type.may_be_shown:
            near = toml_file.nearest(text, toml_file.quoted(str(error)))
            cause = f"the environment variable {variable} is '{printable(text)}'; {error}{near}"
        raise ConfigurationError(cause) from None
    return Entry(value, f"environment variable {variable}")


def _among(
    name: str,
    rule: Rule | None,
    variables: dict[str, Entry],
    files: tuple[PolicyFile, ...],
) -> Entry | None:
    if rule is not None and name in rule.entries:
        return rule.entries[name]
    if name in variables:
        return variables[name]
    return next((file.entries[name] for file in files if name in file.entries), None)


def _first_rule(files: tuple[PolicyFile, ...], names: tuple[str, ...]) -> Rule | None:
    rules = [rule for file in files for rule in file.rules]
    matching = (r for name in names for r in rules if patterns.matches(r.pattern, name))
    return next(matching, None)
