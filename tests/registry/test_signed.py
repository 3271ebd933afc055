# SPDX-License-Identifier: Apache-2.0
"""Signed events: one spelling each, under limits, and whose signatures are good."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import MalformedEventError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import events, signed, spelling
from keras_integrity_hook.registry.events import (
    PAYLOAD_TYPE,
    Founded,
    Recalled,
    Restored,
    Role,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.signing import keys, signers
from tests.support.registries import ORIGIN, Cast, digests_of, promotion, registration


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    made = Cast(tmp_path_factory.mktemp("cast"))
    made.founding()
    return made


def bodies(cast: Cast) -> list[events.Body]:
    one = registration(provenance={"user": "c. o'hara <c@example.com>", "git": "0123"})
    digests = digests_of("x")
    return [
        Founded(ORIGIN, cast.roles()),
        RolesChanged(cast.roles(register=Role(("bob",)))),
        one,
        one._replace(model="Modèle (β) @2,5_+x", version="2!1.0rc1+cpu.3", files="cd" * 32),
        promotion(one, exclusive=True, rollback=True),
        Withdrawn("m", "1", one.root, "staging", "it's worse: <b>0.7</b>"),
        Recalled("root", digests["sha512"], "poisoned", digests),
        Recalled("key", cast.keys["bob"].keyid, "stolen"),
        Restored("root", digests["sha256"], "was fine"),
    ]


def test_every_event_is_read_as_it_was_written(cast: Cast) -> None:
    for body in bodies(cast):
        registry = "" if isinstance(body, Founded) else cast.registry
        event = signed.new_event(body, registry)
        made = SignedEvent(signed.payload_of(event))
        assert signed.event_of(made) == event
        again = cast.countersigned(made, "alice", "bob")
        assert signed.decode(signed.encode(again)) == again
        assert again.id == made.id


def test_every_field_of_every_event_has_a_reader() -> None:
    """A field that one of us adds is spelt and read, or the suite says so."""
    for kind, readers in spelling._FIELDS.items():
        assert tuple(sorted(readers)) == tuple(sorted(kind._fields))
    assert set(spelling.BODIES.values()) == set(events.Body.__args__)


def test_what_is_signed_is_bound_to_its_type(cast: Cast) -> None:
    """A signature over the same bytes as a seal counts for no event, and the other way round."""
    payload = signed.payload_of(signed.new_event(registration(), cast.registry))
    as_seal = signers.sign(payload, cast.path("carol"))
    assert signed.signers(SignedEvent(payload, (as_seal,)), cast.roles()) == ()
    as_event = signed.sign(payload, cast.path("carol"))
    raw = base64.b64decode(as_event.sig)
    assert keys.is_valid(cast.keys["carol"], raw, envelope.pae(payload, PAYLOAD_TYPE))
    assert not keys.is_valid(cast.keys["carol"], raw, envelope.pae(payload))


def test_signers_are_actors_with_good_signatures(cast: Cast, tmp_path: Path) -> None:
    made = cast.signed(registration(), "bob", "carol")
    assert [one.name for one in signed.signers(made, cast.roles())] == ["bob", "carol"]
    stranger = Cast(tmp_path, ("mallory",))
    forged = stranger.countersigned(made, "mallory").signatures[-1]
    as_alice = forged._replace(keyid=cast.keys["alice"].keyid)
    mixed = SignedEvent(made.payload, (forged, as_alice, *made.signatures))
    assert [one.name for one in signed.signers(mixed, cast.roles())] == ["bob", "carol"]
    other = cast.signed(registration(), "bob")
    assert signed.signers(SignedEvent(other.payload, made.signatures), cast.roles()) == ()


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "-rf", "a ", " a", "a  b", "a/b", "a\\b", "a:b", "a\nb", "a\x1b[31m"),
        *("<script>", "a&b", "'; DROP TABLE events; --", 'a"b', "a;b", "$(id)", "`id`", "a?b=c"),
        *(
            "a%2Fb",
            "a#b",
            "a\u202eb",
            "a\u200bb",
            "a\u00a0b",
            "\ufeffa",
            "a\u2044b\u2028",
            "\ue000",
        ),
        *("x" * 256, "ab" * 32, "{{7*7}}", "a|b", "a*", "../../etc/passwd", "\U000e0041"),
    ],
)
def test_hostile_names_are_refused(cast: Cast, name: str) -> None:
    good = registration()
    hostile: list[events.Body] = [
        good._replace(model=name),
        promotion(good, stage=name),
        promotion(good._replace(model=name)),
    ]
    roles = cast.roles()
    actor = roles.actors[0]._replace(name=name)
    hostile += [
        RolesChanged(roles._replace(actors=(actor, *roles.actors[1:]))),
        RolesChanged(roles._replace(stages={name: roles.register})),
        RolesChanged(roles._replace(recall=Role((name,)))),
    ]
    for body in hostile:
        with pytest.raises(MalformedEventError, match=r"name|characters"):
            signed.payload_of(signed.new_event(body, cast.registry))


WRONG: list[tuple[str, Any]] = [
    *[
        ("version", v)
        for v in ("", "latest", " 1.0", "1.0\u00a0", "1..0", "1.0; x", "1" * 129, "1.0\n")
    ],
    *[("root", v) for v in ("", "AB" * 32, "ab" * 31, "zz" * 32, "ab" * 32 + "\n")],
    *[("size", v) for v in (-1, 1.5, True, "1", LIMITS.content + 1)],
    *[("algorithm", v) for v in ("md5", "", None, ["sha256"])],
    ("container", "zip"),
    ("files", "x"),
    ("digests", []),
    *[("digests", v) for v in ({"md5": "ab" * 16}, {"sha256": "ab" * 64}, {"sha256": 1})],
    *[("provenance", v) for v in ({"a": "x" * 1025}, {"a": "\x1b[2J"}, {"a": 1}, None)],
    ("provenance", {str(i): "x" for i in range(65)}),
    ("provenance", {"\u202e": "x"}),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_wrong_values_are_refused_with_the_field_named(cast: Cast, field: str, value: Any) -> None:
    event = signed.new_event(registration(), cast.registry)
    spelt = json.loads(signed.payload_of(event))
    spelt["body"][field] = value
    payload = json.dumps(spelt, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    with pytest.raises(MalformedEventError, match=f"'{field}'|RFC 8785"):
        spelling.read(payload)


def edited(cast: Cast, **changed: Any) -> bytes:
    spelt = json.loads(signed.payload_of(signed.new_event(registration(), cast.registry)))
    spelt.update(changed)
    spelt = {name: value for name, value in spelt.items() if value is not ...}
    return json.dumps(spelt, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "elected"},
        {"type": ["founded"]},
        {"type": ...},
        {"more": 1},
        {"registry": ""},
        {"time": "2027-13-01T00:00:00Z"},
        {"time": "2027-01-01 00:00:00"},
        {"time": "\u0968027-01-01T00:00:00Z"},
        {"nonce": "0" * 31},
        {"body": []},
        {"body": {}},
        {"type": "promoted"},
    ],
)
def test_what_is_no_event_is_refused(cast: Cast, changed: dict[str, Any]) -> None:
    with pytest.raises(MalformedEventError):
        spelling.read(edited(cast, **changed))


def test_a_second_spelling_of_an_event_is_refused(cast: Cast) -> None:
    made = signed.encode(cast.signed(registration(), "carol"))
    for other in (made + b"\n", b" " + made, made.replace(b'","', b'", "', 1), made[:-1], b""):
        with pytest.raises(MalformedEventError):
            signed.decode(other)
    payload = json.dumps(json.loads(edited(cast)), indent=1).encode()
    with pytest.raises(MalformedEventError):
        signed.decode(envelope.encode(Envelope(payload), PAYLOAD_TYPE))
    with pytest.raises(MalformedEventError):
        signed.decode(envelope.encode(Envelope(edited(cast))))  # the payload type of a seal


def test_nothing_is_longer_than_an_entry_of_the_log(cast: Cast) -> None:
    long = registration(provenance={str(i): "x" * 1024 for i in range(64)})
    with pytest.raises(MalformedEventError, match="65535 are the most"):
        cast.signed(long, "carol")
    fits = registration(provenance={str(i): "x" * 1024 for i in range(46)})
    many = SignedEvent(cast.signed(fits).payload, (Signature("ab" * 32, "AAAA" * 100),) * 64)
    with pytest.raises(MalformedEventError, match="65535 are the most"):
        signed.encode(many)
    with pytest.raises(MalformedEventError, match="signatures"):
        signed.encode(SignedEvent(b"{}", (Signature("ab" * 32, "AAAA"),) * 65))
    with pytest.raises(MalformedEventError):
        signed.decode(b"[" * 65_536)
    with pytest.raises(MalformedEventError):
        signed.decode(b"[" * 60_000)
