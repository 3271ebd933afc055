# SPDX-License-Identifier: Apache-2.0
"""What each setting means, for people: ``policy explain`` says it, and docs/policy.md has it.

The table of that page is what ``python -m keras_integrity_hook.settings.explained`` prints; a test
keeps the two equal. A text is Markdown of the docs: it may link to a page, which :func:`spoken`
shows by its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta

from keras_integrity_hook.settings import value_types
from keras_integrity_hook.settings.schema import KEYS, Key, Scope

_HEAD = ("| Setting | Values (default first) | About | |", "|---|---|---|---|")
_LINK = re.compile(r"\[([^]]+)\]\([^)]+\)")

MEANINGS: Mapping[str, str] = {
    "mode": "`warn`: what does not match, or lacks a signature, is reported and loaded",
    "unsealed": "models without a seal are loaded with a warning, or refused",
    "require": (
        "vetted: a trusted vetter says that it passed, see [sandbox.md](sandbox.md). "
        "registered: the registry knows its content, see `stages`"
    ),
    "verify": (
        "when the bytes of a sealed model are verified: all of them before Keras gets any, or "
        "ahead of it while it reads; see "
        "[how-it-works.md](how-it-works.md#verification-ahead-of-the-reader)"
    ),
    "history": (
        "what happens to a model that contradicts what this machine saw at its path before: "
        "its seal is gone, none of its signers has signed, its version went back; see "
        "[history.md](history.md)"
    ),
    "sandbox": (
        "what has to be loaded in a sandbox before this process loads it: nothing, what no "
        "trusted signer has signed, or everything; see [sandbox.md](sandbox.md)"
    ),
    "signers": "names or key ids of the trusted keys that count; empty: all of them",
    "threshold": "how many of them must have signed",
    "allowed_algorithms": "which digest algorithms a seal may have",
    "model": "the name of the model that belongs at the path: saves write it, loads demand it",
    "minimum_version": "the lowest version of the model that is loaded (PEP 440)",
    "maximum_age": 'how old a seal may be: `"90d"`, `"12h"`, `"2w"`',
    "permissions": (
        "strict: nobody but the user and root may be able to change the model, a directory on "
        "the way to it, or a policy file"
    ),
    "on_failure": (
        "what answers a program whose model was refused; see [when-refused.md](when-refused.md)"
    ),
    "fallback": "path of the model that takes the place of a refused one",
    "call": '`"package.module:function"` that answers a refusal',
    "allow_override": "whether `keras_integrity_hook.override` may be used",
    "inputs": (
        "what a model is asked and its [input contract](contracts.md) does not allow is "
        "refused; reported, and the model runs; not looked at. In force as it was when the "
        "model was loaded"
    ),
    "inputs_at": (
        "where inputs are looked at: `predict` and `predict_on_batch`; `evaluate` and "
        "`test_on_batch`; calls of the model with arrays"
    ),
    "inspection": (
        "which findings of an [inspection](inspection.md) stop a load: `refuse` (what only an "
        "attack does, and code that `safe_mode=False` was not given for), `strict` (every "
        "finding)"
    ),
    "inspection_rules": (
        'rules of inspection with another verdict here, e.g. `["custom-object=refuse"]`'
    ),
    "allowed_objects": 'custom objects that are fine, by name, e.g. `["my_pkg>*"]`',
    "registry": (
        "which registry is asked about what is loaded: "
        '`"https://models.example.com/registry"`, '
        '`"postgresql+psycopg://models@db.example.com/registry"`, `"sqlite:///registry.db"`, '
        'or a mirror (`"file:///srv/mirror"`). What it recalled is refused, whatever '
        "`require` says"
    ),
    "registry_id": "which registry that has to be, by its id; needed with `registry`",
    "stages": (
        'with `require = "registered"`: the model must be in one of these now, e.g. '
        '`["production"]`; empty: it is enough that it is registered'
    ),
    "registry_max_age": "how old an answer of the registry may be when it cannot be reached",
    "registry_timeout": (
        "how long one question to it may take; one that does not answer is left alone for a minute"
    ),
    "algorithm": 'digests of a seal; or `"sha512"`, `"blake2b"`, `"blake3"` (a package of its own)',
    "store": "where the seal of a file goes; see [sidecars.md](sidecars.md)",
    "key": "signs every save; see [signing.md](signing.md)",
    "model_version": "the version of the model, written into the seal",
    "valid_for": "when the seal expires",
    "provenance": 'any of `"user"`, `"host"`, `"git"`; see [provenance.md](provenance.md)',
    "register_on_save": (
        "what is saved is registered too, in the background, with the `key` that signs it"
    ),
    "audit_log": "where loads, saves and refusals are recorded; see [audit.md](audit.md)",
    "audit_required": "nothing is loaded or saved that cannot be recorded",
    "downloads": "hashed: a model file is downloaded by Keras only with a `file_hash`",
}


def values(key: Key) -> tuple[str, ...]:
    """What a policy may say, as it is written there, the default first; ``()`` for no default."""
    if isinstance(key.type, value_types.Choice):
        words = [word.value for word in type(key.default)]
        words.sort(key=lambda word: word != key.default.value)
        return tuple(f'"{word}"' for word in words)
    return () if key.default is None else (_written(key.default),)


def about(name: str) -> str:
    """What a setting is about: the process, loads or saves."""
    scope = KEYS[name].scope
    return "process" if scope is Scope.PROCESS else scope.value


def spoken(name: str) -> str:
    """What a setting does, without the marks of Markdown."""
    return _LINK.sub(r"\1", MEANINGS[name]).replace("`", "")


def table() -> str:
    """Every setting in Markdown, one a row."""
    return "\n".join((*_HEAD, *map(_row, KEYS))) + "\n"


def _row(name: str) -> str:
    shown = ", ".join(f"`{value}`" for value in values(KEYS[name])) or "none"
    return f"| `{name}` | {shown} | {about(name)} | {MEANINGS[name]} |"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f'"{value_types.spelled(value)}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    print(table(), end="")
