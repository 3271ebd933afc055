# SPDX-License-Identifier: Apache-2.0
"""How an event is spelt: canonical JSON (RFC 8785), one spelling for each event.

A field that is not known here is refused, not passed over: what an event says, and is signed for,
is what every reader understands by it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

from keras_integrity_hook.errors import (
    LimitExceededError,
    MalformedEventError,
    MalformedSealError,
    printable,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.events import (
    Actor,
    Body,
    Event,
    Founded,
    Promoted,
    Recalled,
    Registered,
    Restored,
    Role,
    Roles,
    RolesChanged,
    Service,
    Withdrawn,
)
from keras_integrity_hook.sealing import canonical, text, tree
from keras_integrity_hook.sealing.statement import FILES, SETS, moment
from keras_integrity_hook.versions import is_version

BODIES: Mapping[str, type[Body]] = {
    "founded": Founded,
    "roles": RolesChanged,
    "registered": Registered,
    "promoted": Promoted,
    "withdrawn": Withdrawn,
    "recalled": Recalled,
    "restored": Restored,
}
"""The types of events, by the words for them in payloads, commands and pages."""

KINDS = {body: word for word, body in BODIES.items()}

_HEX_OR_EMPTY = re.compile(rf"(?:{tree.HEX.pattern})?")
_NONCE = re.compile(r"[0-9a-f]{32}")
# A key name of signed notes has no white space and no plus; a URL without a scheme has none.
_ORIGIN = re.compile(r"(?![A-Za-z0-9+.-]+://)[A-Za-z0-9][A-Za-z0-9.:_~/-]{0,254}")
# Names stand in URLs, shell commands and pages, so what means something there is in none. Nor are
# white space other than one plain space, and the marks that ask a reader to see something else.
_NOT_IN_NAMES = re.compile(
    "[\0-\x1f!\"#$%&'*/:;<=>?\\[\\\\\\]^`{|}~\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u1680\u180e"
    "\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\uffff\U000e0000-\U0010ffff]|  "
)

KEPT = 256
"""Events of which it is remembered what follows from their bytes: those that are appended together,
see ``store.together``."""

_Reader = Callable[[Any], Any]


def spell(event: Event) -> bytes:
    """The payload of ``event``.

    Raises:
        MalformedEventError: it would not be read again.
    """
    word = KINDS[type(event.body)]
    try:
        payload = canonical_bytes({"type": word, **event._asdict(), "body": plain(event.body)})
        if read(payload) != event:
            raise MalformedEventError("the event has no spelling that says the same")
    except MalformedEventError as error:
        raise MalformedEventError(error.cause, remedy="Correct it; nothing was signed.") from None
    return payload


# An entry is read when it is decoded and again when it happens, and the events by which a registry
# was founded are in all its answers. Nobody changes an event.
@functools.lru_cache(maxsize=KEPT)
def read(payload: bytes) -> Event:
    """The event that ``payload`` spells.

    Raises:
        MalformedEventError: it spells none.
    """
    value = canonical_value(payload)
    if not isinstance(value, dict) or value.keys() != {"type", *Event._fields}:
        raise MalformedEventError(
            "an event has other fields than type, registry, time, nonce, body"
        )
    kind = BODIES.get(value["type"]) if isinstance(value["type"], str) else None
    if kind is None:
        shown = printable(str(value["type"]))[:64]
        raise MalformedEventError(f"'{shown}' is no type of event that is known here")
    is_first = kind is Founded
    return Event(
        _field("registry", _empty if is_first else _root, value["registry"]),
        _field("time", _time, value["time"]),
        _field("nonce", _nonce, value["nonce"]),
        _record(kind)(value["body"]),
    )


def canonical_bytes(value: Any) -> bytes:
    """Canonical JSON, at most as long as an entry of the log; raises MalformedEventError."""
    try:
        data = canonical.encode(value)
    except MalformedSealError:
        raise MalformedEventError("the event holds text that is not Unicode") from None
    return _within_limits(data)


def canonical_value(data: bytes) -> Any:
    """The value that canonical JSON spells; raises MalformedEventError."""
    try:
        return canonical.decode(_within_limits(data))
    except (MalformedSealError, LimitExceededError):
        raise MalformedEventError("an event is JSON in canonical form (RFC 8785)") from None


def _within_limits(data: bytes) -> bytes:
    if len(data) > LIMITS.registry_event:
        raise MalformedEventError(
            f"the event is of {len(data)} bytes; {LIMITS.registry_event} are the most"
        )
    return data


def roles(value: Any) -> Roles:
    """The roles that :func:`plain` made ``value`` of; raises MalformedEventError."""
    found: Roles = _record(Roles)(value)
    return found


def plain(value: Any) -> Any:
    """An event, or a part of one, in JSON's types."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(one) for name, one in value._asdict().items()}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, Mapping):
        return {name: plain(one) for name, one in value.items()}
    return value


def _field(name: str, reader: _Reader, value: Any) -> Any:
    """What ``reader`` makes of ``value``; raises MalformedEventError that names the field."""
    try:
        return reader(value)
    except ValueError as error:
        raise MalformedEventError(f"'{printable(name)}' of the event {error}") from None


def _record(kind: type[Any]) -> _Reader:
    """A reader of objects that have the fields of ``kind``, all of them and no others."""

    def read_record(value: Any) -> Any:
        readers = _FIELDS[kind]
        if not isinstance(value, dict) or value.keys() != readers.keys():
            fields = ", ".join(readers)
            raise MalformedEventError(f"{KINDS.get(kind, kind.__name__.lower())} has: {fields}")
        return kind(**{name: _field(name, reader, value[name]) for name, reader in readers.items()})

    return read_record


def _list(reader: _Reader) -> _Reader:
    def read_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError("is not a list")
        return tuple(reader(one) for one in value)

    return read_list


def _mapping(name: _Reader, reader: _Reader, most: int) -> _Reader:
    def read_mapping(value: Any) -> Any:
        if not isinstance(value, dict) or len(value) > most:
            raise ValueError(f"is not an object of {most} members at most")
        return {name(key): reader(one) for key, one in value.items()}

    return read_mapping


def _text(value: Any, most: int = LIMITS.fact) -> str:
    if not isinstance(value, str) or len(value) > most:
        raise ValueError(f"is not a text of at most {most} characters")
    if text.has_controls(value):
        raise ValueError("holds control characters")
    return value


def _name(value: Any) -> str:
    name = _text(value, LIMITS.registry_name)
    if (
        not name
        or name != name.strip(" .-")
        or _NOT_IN_NAMES.search(name)
        or tree.HEX.fullmatch(name)
    ):
        raise ValueError(
            "is no name: letters, digits and , . _ + @ ( ) - with single spaces, no punctuation "
            "at its ends"
        )
    return name


def _public(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or len(value) > LIMITS.key_file:
        raise ValueError("is not a public key in PEM form")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> _Reader:
    def read_matching(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"is not {what}")
        return value

    return read_matching


_root = _matching(tree.HEX, "64 or 128 hex digits in lower case")
_root_or_empty = _matching(_HEX_OR_EMPTY, "64 or 128 hex digits, or empty")
_nonce = _matching(_NONCE, "32 hex digits in lower case")
_origin = _matching(_ORIGIN, "a URL without its scheme")


def _empty(value: Any) -> str:
    if value != "":
        raise ValueError("is not empty, as it has to be in the first one")
    return ""


def _time(value: Any) -> str:
    spelt = _text(value)
    moment(spelt)
    return spelt


def _version(value: Any) -> str:
    version = _text(value, LIMITS.registry_version)
    if version != version.strip() or not is_version(version):
        raise ValueError("is not a version as PEP 440 has them")
    return version


def _natural(most: int) -> _Reader:
    def read_natural(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise ValueError(f"is not a whole number from 0 to {most}")
        return value

    return read_natural


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def _one_of(*words: str) -> _Reader:
    def read_word(value: Any) -> str:
        if value not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return str(value)

    return read_word


def _digests(value: Any) -> Mapping[str, str]:
    found = _mapping(_algorithm, _root, len(tree.ALGORITHMS))(value)
    for algorithm, digest in found.items():
        if len(digest) != 2 * tree.ALGORITHMS[algorithm]:
            raise ValueError(f"has a digest that is too long or too short for {algorithm}")
    return dict(found)


_algorithm = _one_of(*tree.ALGORITHMS)
_facts = _mapping(lambda key: _text(key, LIMITS.fact_name), _text, LIMITS.facts)
_target = {"kind": _one_of("root", "key"), "target": _root, "reason": _text}
_subject = {"model": _name, "version": _version, "root": _root}
_FIELDS: Mapping[type[Any], Mapping[str, _Reader]] = {
    Actor: {"name": _name, "keyid": _root, "scheme": _text, "public": _public},
    Service: {"name": _name, "keyid": _root, "public": _public, "expires": _time},
    Role: {"actors": _list(_name), "threshold": _natural(LIMITS.signatures)},
    Roles: {
        "actors": _list(_record(Actor)),
        "services": _list(_record(Service)),
        "administer": _record(Role),
        "register": _record(Role),
        "recall": _record(Role),
        "restore": _record(Role),
        "stages": _mapping(_name, _record(Role), LIMITS.facts),
    },
    Founded: {"origin": _origin, "roles": _record(Roles)},
    RolesChanged: {"roles": _record(Roles)},
    Registered: {
        **_subject,
        "algorithm": _algorithm,
        "size": _natural(LIMITS.content),
        "files": _root_or_empty,
        "container": _one_of(*FILES, *SETS),
        "statement": _root,
        "digests": _digests,
        "provenance": _facts,
    },
    Promoted: {**_subject, "stage": _name, "exclusive": _flag, "rollback": _flag},
    Withdrawn: {**_subject, "stage": _name, "reason": _text},
    Recalled: {**_target, "digests": _digests},
    Restored: _target,
}
