# SPDX-License-Identifier: Apache-2.0
"""Every setting there is: its name, its type, its default, and what it may be set for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any, NamedTuple

from keras_integrity_hook.sealing.tree import ALGORITHMS
from keras_integrity_hook.settings import choices, value_types
from keras_integrity_hook.settings.choices import (
    Downloads,
    History,
    Inputs,
    Inspecting,
    Mode,
    OnFailure,
    Permissions,
    Require,
    Sandbox,
    Store,
    Unsealed,
    Verify,
)

INPUTS_AT = ("predict", "evaluate", "call")
_INPUTS_AT = ", ".join(f'"{name}"' for name in INPUTS_AT)
_AN_ALGORITHM = "one of " + ", ".join(f'"{name}"' for name in ALGORITHMS)


class Scope(Enum):
    """What a setting is about; those about the whole process cannot stand in a rule."""

    PROCESS = "the whole process"
    LOADS = "loads"
    SAVES = "saves"


class Key(NamedTuple):
    """One setting."""

    type: value_types.Type
    default: Any
    scope: Scope


_PROCESS, _LOADS, _SAVES = Scope.PROCESS, Scope.LOADS, Scope.SAVES

KEYS: Mapping[str, Key] = {
    "mode": Key(value_types.Choice(choices.Mode), Mode.ENFORCE, _PROCESS),
    "audit_log": Key(value_types.PathOrURI(), None, _PROCESS),
    "audit_required": Key(value_types.Flag(), False, _PROCESS),
    "downloads": Key(value_types.Choice(Downloads), Downloads.ENCRYPTED, _PROCESS),
    "unsealed": Key(value_types.Choice(Unsealed), Unsealed.WARN, _LOADS),
    "require": Key(value_types.Choice(Require), Require.NOTHING, _LOADS),
    "verify": Key(value_types.Choice(Verify), Verify.STRICT, _LOADS),
    "history": Key(value_types.Choice(History), History.WARN, _LOADS),
    "sandbox": Key(value_types.Choice(Sandbox), Sandbox.OFF, _LOADS),
    "signers": Key(value_types.Names("a list of names or key ids of trusted keys"), (), _LOADS),
    "threshold": Key(value_types.Count(), 1, _LOADS),
    "allowed_algorithms": Key(
        value_types.Names(f"a list of {_AN_ALGORITHM[7:]}", tuple(ALGORITHMS)),
        tuple(ALGORITHMS),
        _LOADS,
    ),
    "model": Key(value_types.Text("the name of a model"), None, _LOADS),
    "minimum_version": Key(value_types.Text('a version such as "1.4.0"'), None, _LOADS),
    "maximum_age": Key(value_types.Duration(), None, _LOADS),
    "permissions": Key(value_types.Choice(Permissions), Permissions.OFF, _LOADS),
    "on_failure": Key(value_types.Choice(OnFailure), OnFailure.RAISE, _LOADS),
    "fallback": Key(value_types.PathOrURI(), None, _LOADS),
    "call": Key(value_types.Text('"package.module:function"', lambda t: ":" in t), None, _LOADS),
    "allow_override": Key(value_types.Flag(), True, _LOADS),
    "inputs": Key(value_types.Choice(Inputs), Inputs.ENFORCE, _LOADS),
    "inputs_at": Key(
        value_types.Names(f"a list of {_INPUTS_AT}", INPUTS_AT),
        INPUTS_AT,
        _LOADS,
    ),
    "inspection": Key(value_types.Choice(Inspecting), Inspecting.REFUSE, _LOADS),
    "inspection_rules": Key(value_types.Verdicts(), (), _LOADS),
    "allowed_objects": Key(value_types.Names('a list of names such as "my_pkg>*"'), (), _LOADS),
    "registry": Key(value_types.RegistryURL(), None, _LOADS),
    "registry_id": Key(value_types.Digest(), None, _LOADS),
    "stages": Key(value_types.Names("a list of names of stages"), (), _LOADS),
    "registry_max_age": Key(value_types.Duration(), timedelta(hours=1), _LOADS),
    "registry_timeout": Key(value_types.Duration(), timedelta(seconds=3), _LOADS),
    "algorithm": Key(value_types.Text(_AN_ALGORITHM, lambda t: t in ALGORITHMS), "sha256", _SAVES),
    "store": Key(value_types.Choice(Store), Store.EMBEDDED, _SAVES),
    "key": Key(value_types.KeyReference(), None, _SAVES),
    "model_version": Key(value_types.Text('a version such as "1.4.0"'), None, _SAVES),
    "valid_for": Key(value_types.Duration(), None, _SAVES),
    "provenance": Key(
        value_types.Names('a list of "user", "host", "git"', ("user", "host", "git")), (), _SAVES
    ),
    "register_on_save": Key(value_types.Flag(), False, _SAVES),
}
"""A setting is read here and nowhere else: files, variables, ``policy show`` and docs follow."""


class Settings(NamedTuple):
    """The settings in force for one path, or for the process.

    Attributes:
        signers: names or key ids of the trusted keys that count; none named: all of them.
        threshold: how many of them must have signed.
        model: the name of the model that belongs at the path.
        maximum_age: since the seal was made. ``valid_for`` is what a save lets it last.
        fallback: path of the model that takes the place of a refused one.
        call: ``"package.module:function"`` that answers a refusal.
        inputs_at: where inputs are held against a model's input contract.
        inspection_rules: rules with the verdict that they have here: ``"custom-object=refuse"``.
        allowed_objects: names of custom objects that are fine, with ``*`` for any rest.
        registry: where the registry is that is asked about what is loaded.
        registry_id: which one that has to be: the SHA-256 of its first event, hex.
        stages: a registered model counts if it is in one of them; none named: in any, or in none.
        registry_max_age: how old an answer may be when the registry cannot be reached.
        registry_timeout: how long one question may take.
        register_on_save: what is saved is registered, with the key that signs it.
        key: signs what is saved: a path, ``env:NAME`` or the URI of a key kept elsewhere.
        locked: the settings that the machine's policy has fixed.
        origins: where each value comes from, in words.
        files: the policy files that were read.
    """

    mode: Mode
    audit_log: str | None
    audit_required: bool
    downloads: Downloads
    unsealed: Unsealed
    require: Require
    verify: Verify
    history: History
    sandbox: Sandbox
    signers: tuple[str, ...]
    threshold: int
    allowed_algorithms: tuple[str, ...]
    model: str | None
    minimum_version: str | None
    maximum_age: timedelta | None
    permissions: Permissions
    on_failure: OnFailure
    fallback: str | None
    call: str | None
    allow_override: bool
    inputs: Inputs
    inputs_at: tuple[str, ...]
    inspection: Inspecting
    inspection_rules: tuple[str, ...]
    allowed_objects: tuple[str, ...]
    registry: str | None
    registry_id: str | None
    stages: tuple[str, ...]
    registry_max_age: timedelta
    registry_timeout: timedelta
    algorithm: str
    store: Store
    key: str | None
    model_version: str | None
    valid_for: timedelta | None
    provenance: tuple[str, ...]
    register_on_save: bool
    locked: frozenset[str] = frozenset()
    origins: Mapping[str, str] = {}
    files: tuple[str, ...] = ()

    @property
    def needs_signatures(self) -> bool:
        """Whether a model must be signed by somebody who is trusted."""
        return self.require.names(Require.SIGNED)

    @property
    def needs_vetting(self) -> bool:
        """Whether a vetter who is trusted must have said that the model passed."""
        return self.require.names(Require.VETTED)

    @property
    def needs_registration(self) -> bool:
        """Whether the registry must know the model, at one of the stages if any are named."""
        return self.require.names(Require.REGISTERED)

    @property
    def takes_content_without_seal(self) -> bool:
        """Whether what the vetter saw, or what is registered, may be loaded without a seal."""
        is_of_content = self.needs_vetting or self.needs_registration
        is_enough = is_of_content and not self.needs_signatures
        return is_enough and self.unsealed is not Unsealed.REJECT and not self.asks_of_seal

    @property
    def asks_of_seal(self) -> bool:
        """Whether it is demanded what only a seal can say: a name, a version or an age."""
        return bool(self.model or self.minimum_version or self.maximum_age)

    @property
    def needs_seal(self) -> bool:
        """Whether a model without a seal is refused."""
        required = self.require is not Require.NOTHING or self.unsealed is Unsealed.REJECT
        return required or self.asks_of_seal
