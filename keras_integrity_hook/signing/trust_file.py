# SPDX-License-Identifier: Apache-2.0
"""What a trust file says: keys, vetters, revoked keys, revoked models. Text in, values out.

Keys are taken as they are written here; :mod:`trust` compares key, id and scheme when one is
needed, so that a load without signatures imports no cryptography.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from typing import Any, NamedTuple

from keras_integrity_hook.errors import ConfigurationError, printable
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.settings import toml_file
from keras_integrity_hook.settings.toml_file import nearest
from keras_integrity_hook.signing.keys import SCHEMES


class TrustedKey(NamedTuple):
    """A public key that somebody decided to trust.

    Attributes:
        name: for people and for policies.
        keyid, scheme, public: see :class:`~keras_integrity_hook.signing.keys.PublicKey`.
        not_before, not_after: when a signature by it counts; None where there is no bound.
        signer: the URI of the private half, where it lies in hardware or in a cloud.
        source: the trust file it is from.
    """

    name: str
    keyid: str
    scheme: str
    public: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    comment: str = ""
    signer: str | None = None
    source: str = ""

    def counts_at(self, at: datetime) -> bool:
        """Whether ``at`` lies in the key's validity period."""
        return state_at(self, at) == "valid"


class TrustedRoot(NamedTuple):
    """Certificates whose issuer somebody trusts to say who signs models.

    Attributes:
        name: as of a key.
        pem: one certificate or several.
        identity: the e-mail address, URI, host name or common name that the signer's certificate
            has to carry; None where every certificate under these counts.
    """

    name: str
    pem: str
    identity: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    comment: str = ""
    source: str = ""

    def counts_at(self, at: datetime) -> bool:
        """As of a key."""
        return state_at(self, at) == "valid"


class TrustedIdentity(NamedTuple):
    """Somebody whom sigstore's public or a private instance lets sign without a key of his own.

    Attributes:
        name: as of a key.
        trusted_root: path of the instance's ``trusted_root.json``.
        identity, issuer: what the certificate has to carry, both.
    """

    name: str
    trusted_root: str
    identity: str
    issuer: str
    not_before: datetime | None = None
    not_after: datetime | None = None
    comment: str = ""
    source: str = ""

    def counts_at(self, at: datetime) -> bool:
        """As of a key."""
        return state_at(self, at) == "valid"


Trusted = TrustedKey | TrustedRoot | TrustedIdentity


class Revocation(NamedTuple):
    """A key (by id) or a model (by root digest) that counts for nothing any more.

    Attributes:
        since: for people. A thief sets the time in a seal as he likes, so that a revoked key
            counts for no signature, whenever it claims to have been made.
    """

    target: str
    reason: str
    since: datetime | None = None
    source: str = ""


class TrustFile(NamedTuple):
    """The content of one file."""

    keys: tuple[TrustedKey, ...] = ()
    revoked_keys: tuple[Revocation, ...] = ()
    revoked_models: tuple[Revocation, ...] = ()
    certificates: tuple[TrustedRoot, ...] = ()
    identities: tuple[TrustedIdentity, ...] = ()
    vetters: tuple[TrustedKey, ...] = ()


class _Place(NamedTuple):
    """Where in the file a value stands, for messages."""

    source: str
    text: str
    table: str
    number: int

    def wrong(self, key: str, what: str) -> ConfigurationError:
        line = _line_of(self.text, self.table, self.number, key)
        return ConfigurationError(f"line {line}: {what}", path=self.source)


_Reader = Callable[[_Place, str, Any], Any]


def parse(data: bytes, source: str) -> TrustFile:
    """What the trust file ``source`` with the bytes ``data`` says.

    Raises:
        ConfigurationError: not TOML, an unknown key, or a value that cannot be right.
    """
    text, value = toml_file.loads(data, source)
    for name in value:
        if name not in _TABLES:
            raise _unknown(_Place(source, text, "", 0), name, _TABLES)
    tables = {name: _entries(value.get(name, []), name, source, text) for name in _TABLES}
    if sum(map(len, tables.values())) > LIMITS.trusted_keys:
        raise ConfigurationError(f"has over {LIMITS.trusted_keys} entries", path=source)
    return TrustFile(
        tuple(TrustedKey(**one, source=source) for one in tables["keys"]),
        tuple(_revocation(one, "keyid", source) for one in tables["revoked_keys"]),
        tuple(_revocation(one, "root", source) for one in tables["revoked_models"]),
        tuple(TrustedRoot(**one, source=source) for one in tables["certificates"]),
        tuple(TrustedIdentity(**one, source=source) for one in tables["sigstore"]),
        tuple(TrustedKey(**one, source=source) for one in tables["vetters"]),
    )


def moment(value: Any) -> datetime:
    """A TOML date-time or date as a moment. Raises ValueError where its time zone is unknown."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("needs a time zone, as in 2027-01-31T12:00:00Z")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime.combine(value, time(), UTC)
    raise ValueError("is not a date, as in 2027-01-31T12:00:00Z")


def last_moment(value: Any) -> datetime:
    """Likewise, where a day is meant to its end: what is good until a day is good on it."""
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    return moment(datetime.combine(value, time.max, UTC) if is_day else value)


def state_at(one: Trusted, at: datetime) -> str:
    """What ``one``'s validity period says of ``at``: ``valid``, ``expired``, ``not yet valid``."""
    if one.not_after is not None and at > one.not_after:
        return "expired"
    if one.not_before is not None and at < one.not_before:
        return "not yet valid"
    return "valid"


def _entries(value: Any, table: str, source: str, text: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _Place(source, text, "", 0).wrong(table, f"'{table}' is written as [[{table}]]")
    return [
        _entry(one, _Place(source, text, table, index), *_TABLES[table])
        for index, one in enumerate(value)
    ]


def _entry(
    given: dict[str, Any], place: _Place, required: Mapping[str, _Reader], rest: dict[str, _Reader]
) -> dict[str, Any]:
    readers = {**required, **rest}
    for key in given:
        if key not in readers:
            raise _unknown(place, key, readers)
    for key in required:
        if key not in given:
            raise place.wrong("", f"[[{place.table}]] lacks '{key}'")
    return {key: readers[key](place, key, value) for key, value in given.items()}


def _revocation(entry: dict[str, Any], key: str, source: str) -> Revocation:
    return Revocation(entry[key], entry.get("reason", ""), entry.get("since"), source)


def _text(place: _Place, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise place.wrong(key, f"'{key}' is not a text in quotes")
    return value


def _name(place: _Place, key: str, value: Any) -> str:
    if not _text(place, key, value).strip() or not value.isprintable():
        raise place.wrong(key, f"'{key}' is empty or not printable")
    if tree.HEX.fullmatch(value):  # a policy that names a key by its id must not mean another one
        raise place.wrong(key, f"'{key}' looks like a key id")
    return str(value)


def _absolute(place: _Place, key: str, value: Any) -> str:
    if not os.path.isabs(_text(place, key, value)) or "\0" in value:
        raise place.wrong(key, f"'{key}' is not an absolute path")
    return str(value)


def _digest(place: _Place, key: str, value: Any) -> str:
    if not tree.HEX.fullmatch(_text(place, key, value)):
        raise place.wrong(key, f"'{key}' is not a digest of 64 or 128 lower-case hex digits")
    return str(value)


def _scheme(place: _Place, key: str, value: Any) -> str:
    if value not in SCHEMES:
        raise place.wrong(
            key, f"'{key}' is not one of {', '.join(SCHEMES)}{nearest(str(value), SCHEMES)}"
        )
    return str(value)


def _date(place: _Place, key: str, value: Any) -> datetime:
    try:
        return last_moment(value) if key == "not_after" else moment(value)
    except ValueError as error:
        raise place.wrong(key, f"'{key}' {error}") from None


_KEY: tuple[dict[str, _Reader], dict[str, _Reader]] = (
    {"name": _name, "keyid": _digest, "scheme": _scheme, "public": _text},
    {"not_before": _date, "not_after": _date, "comment": _text, "signer": _name},
)
_TABLES: dict[str, tuple[dict[str, _Reader], dict[str, _Reader]]] = {
    "keys": _KEY,
    # Another right than to sign models: a machine that tries strangers' models all day holds this
    # key, and whoever steals it must not be able to sign a release.
    "vetters": _KEY,
    "certificates": (
        {"name": _name, "pem": _text},
        {"identity": _name, "not_before": _date, "not_after": _date, "comment": _text},
    ),
    "sigstore": (
        {"name": _name, "trusted_root": _absolute, "identity": _name, "issuer": _name},
        {"not_before": _date, "not_after": _date, "comment": _text},
    ),
    "revoked_keys": ({"keyid": _digest}, {"since": _date, "reason": _text}),
    "revoked_models": ({"root": _digest}, {"since": _date, "reason": _text}),
}


def _unknown(place: _Place, key: str, known: Any) -> ConfigurationError:
    shown = printable(key)
    return place.wrong(key, f"'{shown}' is not known here{nearest(key, known) or _listed(known)}")


def _listed(known: Any) -> str:
    return f"; there are {', '.join(known)}"


def _line_of(text: str, table: str, index: int, key: str) -> int:
    """The line of ``key`` in the ``index``-th ``[[table]]``, or of that header; from 1.

    tomllib tells no lines. A text over several lines that itself looks like TOML can mislead
    this; then the line is off, and nothing else.
    """
    header = re.compile(r"\s*\[\[?\s*\"?([^\]\"]+?)\"?\s*\]")
    wanted = re.compile(rf"\s*(\[\[?\s*)?[\"']?{re.escape(key)}[\"']?\s*[=.\]]")
    inside, seen, start = not table, -1, 1
    for number, line in enumerate(text.splitlines(), 1):
        found = header.match(line)
        if found and table:
            seen += found.group(1) == table
            inside = found.group(1) == table and seen == index
            start = number if inside else start
        elif inside and key and wanted.match(line):
            return number
        if not table and key and wanted.match(line):
            return number
    return start
