# SPDX-License-Identifier: Apache-2.0
"""Whether this process is protected, and switching that by hand.

An installed package is active without any of this. It is for processes that the start-up files do
not reach (``python -S``, ``PYTHONPATH`` directories) and for programs that want to be sure.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

from keras_integrity_hook import audit, hooks, settings
from keras_integrity_hook.activation import finder, watching
from keras_integrity_hook.errors import IntegrityError, NotActiveError
from keras_integrity_hook.files import portable
from keras_integrity_hook.hooks.table import TargetState
from keras_integrity_hook.report import html_table, short_repr

_late = False


@dataclass(frozen=True, repr=False)
class Status:
    """What is known about the protection of this process.

    Attributes:
        armed: the import finder is in place, so a Keras imported from now on is guarded.
        mode: ``"enforce"``, ``"warn"``, ``"off"``, ``"invalid"`` where a setting or a policy
            file cannot be relied on, or ``"unsupported"`` where this system cannot be guarded.
        keras_loaded: Keras has been imported.
        keras_version: its version, once it has been imported.
        late: Keras had been imported before the hook was activated; references to its functions
            that a program stored elsewhere earlier may be unguarded.
        targets: the guarded functions of Keras and the state of each.
    """

    armed: bool
    mode: str
    keras_loaded: bool
    keras_version: str | None
    late: bool
    targets: tuple[TargetState, ...]

    @property
    def active(self) -> bool:
        """Whether models are checked here: now, or as soon as Keras is imported."""
        return self.why_not_active() is None

    def facts(self) -> list[tuple[str, str]]:
        """Name and value of what is worth a line, for people."""
        why = self.why_not_active()
        count = sum(target.state == "wrapped" for target in self.targets)
        return [
            ("models are checked", "yes" if why is None else f"no: {why}"),
            ("mode", self.mode),
            ("Keras", self.keras_version or "not imported yet"),
            ("guarded functions", str(count)),
        ]

    def __repr__(self) -> str:
        why = self.why_not_active()
        state = "active" if why is None else f"not active: {why}"
        return short_repr(self, state, f"mode {self.mode}")

    def _repr_html_(self) -> str:
        return html_table("keras-integrity-hook", self.facts())

    def why_not_active(self) -> str | None:
        """The reason why models are not checked, a clause without a final stop, or None."""
        by_mode = {
            "off": "the mode is 'off'",
            "invalid": "a setting or a policy file cannot be relied on",
            "unsupported": f"this system lacks {'; '.join(portable.missing())}",
        }
        if self.mode in by_mode:
            return by_mode[self.mode]
        if not self.armed:
            return "the import finder is not armed in this process"
        unwrapped = [target.name for target in self.targets if target.state == "unwrapped"]
        if unwrapped:
            return f"Keras is loaded and not guarded: {', '.join(unwrapped)}"
        hidden = [target.name for target in self.targets if target.state == "hidden"]
        if hidden:
            return f"hidden by another library, which may not call the guard: {', '.join(hidden)}"
        return None


def activate() -> None:
    """Guard this process; wraps Keras now where it has been imported already. Idempotent.

    Raises:
        ConfigurationError: a setting is misspelt (checked once Keras is imported).
        UnsupportedKerasError: the imported Keras lacks a function that has to be guarded.
        AuditError: the process is guarded from now on, and the policy wants that recorded.
        UnsupportedPlatformError: this system cannot be guarded, and the mode is not ``off``.
    """
    global _late  # noqa: PLW0603
    if portable.is_opted_out() and portable.missing():
        return
    portable.require()
    finder.arm()
    loaded = _loaded()
    if not loaded:
        return
    before = _unwrapped()
    for name in loaded:
        # Not sys.modules[name]: this waits for another thread that is still importing it.
        hooks.wrap_module(importlib.import_module(name))
    found_late = sorted(before - _unwrapped())
    if found_late:
        _late = True
        hooks.reach_copies()
        audit.record("late-activation", outcome="ok", targets=found_late)


def deactivate() -> None:
    """Stop guarding this process and give Keras its own functions back; idempotent.

    Raises:
        AuditError: the policy wants that recorded and it cannot be; the process stays guarded.
    """
    global _late  # noqa: PLW0603
    if finder.is_armed():
        audit.record("opt-out", outcome="off", why="deactivate() was called")
    finder.disarm()
    hooks.unwrap_all()
    _late = False


def assert_active() -> None:
    """Return only in a process whose models are checked.

    Raises:
        NotActiveError: with the reason.
    """
    reason = status().why_not_active()
    if reason is not None:
        raise NotActiveError(reason)


def status() -> Status:
    """The protection of this process; never raises and does not import Keras."""
    loaded = _loaded()
    return Status(
        armed=finder.is_armed(),
        mode=_mode(),
        keras_loaded=bool(loaded),
        keras_version=getattr(sys.modules.get("keras"), "__version__", None),
        late=_late,
        targets=tuple(hooks.report()),
    )


def _mode() -> str:
    if portable.missing():
        return "off" if portable.is_opted_out() else "unsupported"
    try:
        return settings.mode().value
    except IntegrityError:
        return "invalid"


def _loaded() -> list[str]:
    """The watched modules in this process; "keras" last, whose patcher checks all the others."""
    return sorted((name for name in watching.WATCHED if name in sys.modules), reverse=True)


def _unwrapped() -> set[str]:
    return {target.name for target in hooks.report() if target.state == "unwrapped"}
