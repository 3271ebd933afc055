# SPDX-License-Identifier: Apache-2.0
"""What is allowed in a policy file and is probably not what its author wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from keras_integrity_hook.settings import shadowing
from keras_integrity_hook.settings.choices import Mode, OnFailure, Require
from keras_integrity_hook.settings.toml_file import Entry, PolicyFile

_DEMANDS = ("require", "unsealed", "signers", "threshold", "permissions", "model", "sandbox")


def on(policy: PolicyFile) -> Iterator[str]:
    """Remarks for the author of ``policy``, a sentence each."""
    demanded = [name for name in _DEMANDS if name in policy.locked]
    if demanded and "mode" not in policy.locked:
        yield (
            f"{', '.join(demanded)} cannot be changed by users, but they can still switch the "
            "hook off: add allow_opt_out = false."
        )
    if demanded and "allow_override" not in policy.locked:
        yield "Users may override single refusals; lock allow_override = false if they must not."
    for where, entries in _tables(policy):
        yield from _on_table(where, entries, policy)
    yield from on_order([policy])


def on_order(files: Sequence[PolicyFile]) -> Iterator[str]:
    """Remarks on rules that others stand in front of, a sentence or two each.

    Args:
        files: those that are in force together, the nearest first.
    """
    for rule, first in shadowing.shadowed(files):
        yield (
            f"The rule for {rule.pattern} ({rule.origin}) is never used: the rule for "
            f"{first.pattern} ({first.origin}) comes before it and is for all of its files. The "
            "first rule for a path decides: put the narrower one first."
        )


def _tables(policy: PolicyFile) -> Iterator[tuple[str, Mapping[str, Entry]]]:
    yield "At the top", policy.entries
    for rule in policy.rules:
        yield f"In the rule for {rule.pattern}", {**policy.entries, **rule.entries}


def _on_table(where: str, entries: Mapping[str, Entry], policy: PolicyFile) -> Iterator[str]:
    def value(name: str) -> object:
        return entries[name].value if name in entries else None

    if value("mode") is Mode.OFF:
        yield f'{where}, mode = "off" leaves every model unchecked.'
    counts = value("signers") or value("threshold")
    require = value("require")
    demand = require if isinstance(require, Require) else Require.NOTHING
    if counts and not demand.names(Require.SIGNED):
        yield f'{where}, signers and threshold mean nothing without require = "signed".'
    signers, threshold = value("signers"), value("threshold")
    named = len(set(signers)) if isinstance(signers, tuple) else 0
    if named and isinstance(threshold, int) and named < threshold:
        yield f"{where}, {threshold} signatures of {named} signers cannot be had."
    yield from _on_registry(where, value, demand)
    if value("on_failure") is OnFailure.FALLBACK and not value("fallback"):
        yield f'{where}, on_failure = "fallback" needs a fallback.'
    if value("on_failure") is OnFailure.CALL and not value("call"):
        yield f'{where}, on_failure = "call" needs a call.'


def _on_registry(where: str, value: Callable[[str], object], demand: Require) -> Iterator[str]:
    if value("stages") and not demand.names(Require.REGISTERED):
        yield f'{where}, stages mean nothing without require = "registered".'
    if value("register_on_save") and not value("registry"):
        yield f"{where}, register_on_save needs a registry."
    if value("register_on_save") and not value("key"):
        yield f"{where}, register_on_save needs a key, which signs that it is registered."
