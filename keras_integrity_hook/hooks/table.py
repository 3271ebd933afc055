# SPDX-License-Identifier: Apache-2.0
"""Rows that say what is wrapped, and the few things that are done with such rows.

The rows themselves stand in the ``targets`` of each host: ``keras3``, ``keras_hub``, ``tf_keras``,
``tensorflow``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

from keras_integrity_hook.errors import UnsupportedKerasError
from keras_integrity_hook.hooks import borrowing, wrapping

Version = tuple[int, ...]


class Target(NamedTuple):
    """One name to wrap.

    Attributes:
        module: the module that defines it.
        name: its dotted name there. ``h5py:File`` stands for ``File`` as this module finds it in
            its global ``h5py``; nobody else's ``h5py.File`` is touched.
        guard: what stands before it, called ``(wrapped, instance, args, kwargs)``.
        since: the first version of the host that has it; it may be absent before.
        until: the first version of the host that no longer has it, or no longer needs it guarded.
        copied: other modules import it by value and call their copy, so that late activation has
            to find those too: see :func:`reach_copies`.
    """

    module: str
    name: str
    guard: Callable[..., Any]
    since: Version = ()
    until: Version = ()
    copied: bool = False

    @property
    def full_name(self) -> str:
        """Module and name with a dot between."""
        return f"{self.module}.{self.name}"

    @property
    def lender(self) -> str:
        """The global that the function is borrowed from: ``h5py``; empty for most targets."""
        return self.name.rpartition(":")[0]

    @property
    def attribute(self) -> str:
        """What is borrowed: ``File``."""
        return self.name.rpartition(":")[2]


class TargetState(NamedTuple):
    """A target as ``status()`` and ``doctor`` show it.

    ``state`` is ``"wrapped"``, ``"unwrapped"``, ``"hidden"`` (another library has replaced it),
    ``"absent"`` (this version of the host has no such function) or ``"not loaded"``.
    """

    name: str
    state: str


class Host(NamedTuple):
    """A package whose functions are wrapped.

    Attributes:
        package: its name; its own import is the last moment to find that a target is missing.
        targets: what is wrapped of it.
        version_module: the module that knows the host's version before the package itself does.
        oldest: the first version that can be guarded; older and unknown ones are refused.
        is_present: whether the package of that name is the one that the targets are of. There are
            two of the name ``keras``.
    """

    package: str
    targets: tuple[Target, ...]
    version_module: str
    oldest: Version = ()
    is_present: Callable[[], bool] = lambda: True

    @property
    def version(self) -> str | None:
        """The loaded version, None before it is known."""
        for name in (self.version_module, self.package):
            version = getattr(sys.modules.get(name), "__version__", None)
            if version:
                return str(version)
        return None


def wrap_module(module: ModuleType, host: Host) -> None:
    """Wrap the targets in a module that has just run; for the package itself, all that are loaded.

    Raises:
        UnsupportedKerasError: a target that this version should have is missing, or the version is
            too old.
    """
    whole = module.__name__ == host.package
    version = parsed(host.version)
    # Not known while the first modules are imported; the package itself comes last.
    if version is not None or whole:
        _refuse_older(host, version or ())
    for target in host.targets:
        owner_module = module if target.module == module.__name__ else None
        if whole:
            owner_module = sys.modules.get(target.module)
        if owner_module is not None:
            _wrap(owner_module, target, host)


def reach_copies(targets: Iterable[Target]) -> None:
    """Give modules that imported a ``copied`` target before it was wrapped the wrapper as well.

    Only the globals of modules are reached, not what a program keeps in a class or a closure.
    """
    wrappers = dict(_copied_wrappers(targets))
    if not wrappers:
        return
    for module in tuple(sys.modules.values()):
        try:
            # Not vars(): a module of importlib's LazyLoader would be imported by that.
            variables = object.__getattribute__(module, "__dict__")
        except AttributeError:  # None, or another thing that stands in for a module
            continue
        for name, value in tuple(variables.items()):
            if id(value) in wrappers:
                variables[name] = wrappers[id(value)]


def _copied_wrappers(targets: Iterable[Target]) -> Iterator[tuple[int, Any]]:
    """The wrappers of the targets that are copied, by the id of the original each holds."""
    for target in targets:
        module = sys.modules.get(target.module)
        wrapper = module and module.__dict__.get(target.name)
        if target.copied and isinstance(wrapper, wrapping.GuardWrapper):
            yield id(wrapper.__wrapped__), wrapper


def _refuse_older(host: Host, version: Version) -> None:
    if version < host.oldest:
        raise UnsupportedKerasError(
            f"{host.package} {host.version or 'of unknown version'} cannot be guarded; "
            f"the oldest that can is {'.'.join(map(str, host.oldest))}"
        )


def unwrap(targets: Iterable[Target]) -> None:
    """Put the originals back."""
    for target in targets:
        module = sys.modules.get(target.module)
        if module is None:
            continue
        if target.lender:
            borrowing.remove(module, target.lender)
            continue
        owner, attribute = _owner(module, target)
        if owner is not None:
            wrapping.unwrap(owner, attribute)


def report(host: Host) -> list[TargetState]:
    """The state of every target."""
    version = parsed(host.version)
    return [TargetState(target.full_name, _state(target, version)) for target in host.targets]


def _state(target: Target, version: Version | None) -> str:
    module = sys.modules.get(target.module)
    if module is None:
        return "not loaded"
    owner, attribute = _owner(module, target)
    if owner is None or not _is_wanted(target, version):
        return "absent"
    return wrapping.state(owner, attribute)


def parsed(version: str | None) -> Version | None:
    """The leading numbers of a version: ``"3.15.1rc0"`` gives ``(3, 15, 1)``; None for None."""
    if version is None:
        return None
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _wrap(module: ModuleType, target: Target, host: Host) -> None:
    version = parsed(host.version)
    if not _is_wanted(target, version):
        return
    if target.lender and not borrowing.put(module, target.lender, target.attribute):
        return
    owner, attribute = _owner(module, target)
    if owner is not None:
        wrapping.wrap(owner, attribute, target.guard)
    elif _is_expected(target, version):
        raise UnsupportedKerasError(
            f"{host.package} {host.version or 'of this version'} has no {target.full_name}, "
            "which has to be guarded"
        )


def _is_wanted(target: Target, version: Version | None) -> bool:
    """Own functions are wrapped wherever they are; the lenders' exist whether needed or not."""
    return not target.lender or version is None or _is_expected(target, version)


def _is_expected(target: Target, version: Version | None) -> bool:
    if version is None:  # an unknown version: absence is allowed to what is optional anywhere
        return not (target.since or target.until)
    return version >= target.since and not (target.until and version >= target.until)


def _owner(module: ModuleType, target: Target) -> tuple[Any, str]:
    """The object that holds the target, and the attribute; (None, "") where it is absent."""
    if target.lender:
        return _borrowed(module.__dict__.get(target.lender), target.attribute)
    owner: Any = module
    *path, attribute = target.name.split(".")
    for step in path:
        owner = getattr(owner, step, None)
    return (None, "") if owner is None or attribute not in owner.__dict__ else (owner, attribute)


def _borrowed(lender: Any, attribute: str) -> tuple[Any, str]:
    missing = isinstance(lender, borrowing.ModuleView) and attribute not in lender.__dict__
    return (None, "") if lender is None or missing else (lender, attribute)
