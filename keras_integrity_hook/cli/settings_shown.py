# SPDX-License-Identifier: Apache-2.0
"""What is in force, for people and for machines; ``trials`` finds out whether it works."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.settings import Settings
from keras_integrity_hook.signing import trust_store


def rows(in_force: Settings) -> list[tuple[str, str]]:
    """What is in force, as names and values for people; what is not set is left out."""
    shown = ["mode", "unsealed", "require"]
    shown += ["signers", "threshold"] if in_force.needs_signatures else []
    named = ("registry", "stages", "key", "audit_log")
    shown += [name for name in named if getattr(in_force, name)]
    shown += ["audit_required"] if in_force.audit_required else []
    found = [(_title(name), _spoken(in_force, name)) for name in shown]
    found += [("policy file", path) for path in in_force.files or ("none",)]
    return found + [("trust file", path) for path in trust_store.present() or ("none",)]


def facts(in_force: Settings) -> dict[str, Any]:
    """The same for machines."""
    names = ["mode", "unsealed", "require", "signers", "threshold", "permissions"]
    names += ["registry", "registry_id", "stages", "key", "audit_log", "audit_required"]
    return {
        "settings": {
            name: {
                "value": getattr(in_force, name),
                "origin": in_force.origins[name],
                "locked": name in in_force.locked,
            }
            for name in names
        },
        "policy_files": list(in_force.files),
        "trust_files": list(trust_store.present()),
    }


def _title(name: str) -> str:
    return name.replace("_", " ")


def _spoken(in_force: Settings, name: str) -> str:
    value = getattr(in_force, name)
    text = (", ".join(value) or "any that are trusted") if isinstance(value, tuple) else str(value)
    text = str(value).lower() if isinstance(value, bool) else text
    lock = ", locked" if name in in_force.locked else ""
    return f"{text}  ({in_force.origins[name]}{lock})"
