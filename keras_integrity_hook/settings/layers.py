# SPDX-License-Identifier: Apache-2.0
"""Which value of a setting is in force, out of the five places that may give one.

For each setting it is the first of these:

1. a setting that the machine's policy locks comes from that file alone: from its first rule for the
   path, its top, or the default;
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
from keras_integrity_hook.files import location, owned, root_owned
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
    PREFIX + name
    for name in (
        *("POLICY", "TRUST", "KEY_PASSPHRASE", "KEY_PASSPHRASE_FILE"),
        *("REGISTRY_TOKEN", "REGISTRY_TOKEN_FILE"),
    )
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
        """The first rule for ``path``: of its names, the first that has a rule decides."""
        return _first_rule(self.files, self.names(path))

    def names(self, path: str | None) -> tuple[str, ...]:
        """The names of ``path`` to match rules with; () without looking where there are none."""
        if path is None or not any(file.rules for file in self.files):
            return ()
        return patterns.names(path)


class _Sources(NamedTuple):
    """All that the settings for a path follow from: equal sources give equal settings.

    Attributes:
        rule: the first rule for the path.
        machine_rule: the machine's first rule for the path, which decides what is locked.
    """

    layers: Layers
    rule: Rule | None
    machine_rule: Rule | None


# One load or save asks several times, and seldom does anything change between. Each use reads or
# replaces the whole pair at once: another thread may replace it at any time.
_latest: tuple[_Sources, Settings] | None = None


def current(project: tuple[bytes, str] | None = None) -> Layers:
    """What is configured now; files are read each time they are asked for, and parsed once.

    Args:
        project: bytes and name of what stands for the project's policy file, if that is given.

    Raises:
        ConfigurationError: a file or variable has a mistake.
        InsecurePermissionsError: somebody else could have written one of the files.
    """
    machine = _machine_file()
    nearer = tuple(_project_and_user_files(project))
    return Layers(nearer if machine is None else (*nearer, machine), machine, _variables())


def resolve(layers: Layers, path: str | None) -> Settings:
    """The settings in force at ``path``, or for the process where it is None.

    Where links give it several names, the first that has a rule decides; :func:`resolve_each`
    gives the settings of each.
    """
    return _settings_for(layers, layers.names(path))


def resolve_each(
    layers: Layers, paths: tuple[str, ...], parts: Iterable[str] = ()
) -> tuple[Settings, ...]:
    """The settings in force for a model, without duplicates; see :func:`settings.at_each_name`."""
    if not any(file.rules for file in layers.files):
        return (_settings_for(layers, paths[:1]),)
    names = [layers.names(path) for path in paths]
    ruled = [some for some in names if _first_rule(layers.files, some) is not None]
    inner = [name for part in parts for name in layers.names(part)]
    inner = [name for name in inner if _first_rule(layers.files, (name,)) is not None]
    in_force: list[Settings] = []
    for name in dict.fromkeys([*chain.from_iterable(ruled or names[:1]), *inner]):
        settings = _settings_for(layers, (name,))
        if settings not in in_force:
            in_force.append(settings)
    return tuple(in_force)


def _settings_for(layers: Layers, names: tuple[str, ...]) -> Settings:
    global _latest  # noqa: PLW0603
    sources = _Sources(
        layers, _first_rule(layers.files, names), _first_rule(_machine_files(layers), names)
    )
    latest = _latest
    if latest is not None and latest[0] == sources:
        return latest[1]
    settings = _merged(sources)
    _latest = sources, settings
    return settings


def _machine_files(layers: Layers) -> tuple[PolicyFile, ...]:
    return () if layers.machine is None else (layers.machine,)


def _merged(sources: _Sources) -> Settings:
    layers, rule, machine_rule = sources
    machine = _machine_files(layers)
    entries = {}
    for name, key in KEYS.items():
        entry = (
            _nearest_entry(name, machine_rule, {}, machine)
            if name in layers.locked
            else _nearest_entry(name, rule, layers.variables, layers.files)
        )
        entries[name] = entry or Entry(key.default, "default")
    values = {name: entry.value for name, entry in entries.items()}
    origins = {name: entry.origin for name, entry in entries.items()}
    files = tuple(file.path for file in layers.files)
    return Settings(**values, locked=layers.locked, origins=origins, files=files)


def of_machine() -> Layers:
    """The machine's policy by itself; nothing where that is the one with a mistake."""
    try:
        machine = _machine_file()
    except IntegrityError:
        machine = None
    return Layers((machine,) if machine else (), machine, {})


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


def _project_and_user_files(given: tuple[bytes, str] | None) -> Iterator[PolicyFile]:
    project = os.environ.get(POLICY_VARIABLE, "")
    if given is not None:
        yield _parsed(*given, Layer.PROJECT)
    elif project:
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
    """The settings that environment variables spell; an empty variable counts as not set."""
    entries = {}
    # As bytes: to decode a whole environment takes as long as all the rest.
    names = os.environb if os.supports_bytes_environ else map(os.fsencode, os.environ)
    ours = [os.fsdecode(name) for name in names if name.startswith(_OURS)]
    for variable in ours:
        # Another thread may have taken it away since.
        text = "" if variable in _OTHERS else os.environ.get(variable, "")
        name = "mode" if variable == MODE_VARIABLE else variable.removeprefix(PREFIX).lower()
        if text:
            entries[name] = _entry_of_variable(variable, name, text)
    return entries


def _entry_of_variable(variable: str, name: str, text: str) -> Entry:
    if variable_of(name) != variable or name not in KEYS:
        near = toml_file.nearest(variable, [*map(variable_of, KEYS), *_OTHERS])
        cause = f"there is no setting for the environment variable {printable(variable)}{near}"
        raise ConfigurationError(cause)
    try:
        value = KEYS[name].type.from_text(text, location.working_directory())
    except ValueError as error:
        cause = f"the environment variable {variable} is wrong; {error}"
        if KEYS[name].type.may_be_shown:
            near = toml_file.nearest(text, toml_file.quoted(str(error)))
            cause = f"the environment variable {variable} is '{printable(text)}'; {error}{near}"
        raise ConfigurationError(cause) from None
    return Entry(value, f"environment variable {variable}")


def _nearest_entry(
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
    matching = (rule for name in names for rule in rules if patterns.matches(rule.pattern, name))
    return next(matching, None)
