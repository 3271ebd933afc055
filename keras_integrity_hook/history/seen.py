# SPDX-License-Identifier: Apache-2.0
"""What was seen at a path, and how it is written down: one JSON object, under limits.

What comes out of a seal is other people's text. It is kept as it is, because it is compared, and
only where it is no longer than any honest one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_integrity_hook.limits import LIMITS

_VERSION = 1
FILE = "file"
"""What single files are remembered as, whichever format they have; sets go by their container."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A model with a seal, as this machine saw it.

    Attributes:
        seal: SHA-256 of statement and signatures, hexadecimal: equal for the same seal alone. Where
            nobody has signed it may be that of an earlier one of which the rest was true, too.
        at: when it was first seen so, UTC, as seals spell it.
        signers: key ids (hex) whose signatures were verified here, and the names that the trust
            files gave them.
        claims: key ids of signatures that could not be verified here.
        name: the model's name, "" for none.
        versions: the highest version that was seen here, by the model's name.
    """

    seal: str
    at: str
    signers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    claims: tuple[str, ...] = ()
    name: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def says_more(self) -> bool:
        """Whether there is more than that there was a seal, which any other seal agrees with."""
        return bool(self.signers or self.claims or self.versions)

    def is_told_by(self, other: Seen | None) -> bool:
        """Whether ``other`` is as good a memory as this one, so that nothing need be written."""
        if other is None or self.name != other.name or self.versions != other.versions:
            return False
        if self.signers or self.claims or other.signers or other.claims:
            return self.seal == other.seal  # what was verified once need not be verified again
        return True


@dataclass(frozen=True, slots=True)
class Entry:
    """All that is remembered of a path: of each kind of model there, by :data:`FILE` or container.

    Attributes:
        path: the real path; a set's is its directory, or the stem in it.
    """

    path: str
    kinds: Mapping[str, Seen]


def encode(entry: Entry) -> bytes:
    """The file of ``entry``."""
    kinds = {kind: _spelled(seen) for kind, seen in entry.kinds.items()}
    value = {"version": _VERSION, "path": entry.path, "kinds": kinds}
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def decode(data: bytes) -> Entry:
    """The entry in a file.

    Raises:
        ValueError: it is none of this version.
    """
    try:
        value = json.loads(data)
        if value["version"] != _VERSION:
            raise ValueError("it is of another version")
        kinds = {_text(kind): _read(seen) for kind, seen in value["kinds"].items()}
        return Entry(_text(value["path"]), kinds)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is not what this package writes") from error


def _spelled(seen: Seen) -> dict[str, Any]:
    return {
        "seal": seen.seal,
        "at": seen.at,
        "signers": dict(seen.signers),
        "claims": seen.claims,
        "name": seen.name,
        "versions": dict(seen.versions),
    }


def _read(value: Any) -> Seen:
    return Seen(
        _text(value["seal"]),
        _text(value["at"]),
        {_text(keyid): tuple(map(_text, names)) for keyid, names in value["signers"].items()},
        tuple(map(_text, value["claims"])),
        _text(value["name"]),
        {_text(name): _text(version) for name, version in value["versions"].items()},
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("it has something else where text belongs")
    return value


def is_kept(text: str) -> bool:
    """Whether a name, version or key id out of a seal is short enough to be remembered."""
    return len(text) <= LIMITS.history_text
