# SPDX-License-Identifier: Apache-2.0
"""A registry over HTTP: what is answered, and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

pytest.importorskip("fastapi")

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, notes, signed, tiles
from keras_integrity_hook.registry.events import Recalled
from keras_integrity_hook.registry.service import Options, app
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.signing import signers
from tests.support.registries import ORIGIN, Cast, promotion, registration
from tests.support.registry_service import JSON, LINES, Running, found_registry, serving

HOSTILE = (
    "'; DROP TABLE log; --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "a\0b",
    "a\r\nset-cookie: b",
    "\u202eevil",
    "%2e%2e%2f",
    "{{7*7}}",
    "x" * 3000,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service of a registry in SQLite; what a test posts is there for those after it."""
    home = tmp_path_factory.mktemp("service")
    (home / "keys").mkdir()
    cast = Cast(home / "keys")
    database = f"sqlite:///{home}/registry.db"
    found_registry(database, cast)
    with serving(database, cast, home=home) as service:
        yield service


def size(running: Running) -> int:
    """How many events the log has, as its checkpoint says."""
    return notes.unverified_checkpoint(running.get("/v1/checkpoint").body).size


def test_an_event_that_was_posted_has_a_receipt_and_is_in_the_log(running: Running) -> None:
    event = running.cast.signed(registration("posted"), "carol")
    reply = running.post(event)
    assert reply.status == 201
    (receipt,) = reply.document["receipts"]
    index = receipt["position"]
    leaf = hashlib.sha256(b"\0" + signed.encode(event)).hexdigest()
    assert receipt["leaf"] == leaf
    assert notes.unverified_checkpoint(reply.document["checkpoint"].encode()).size > index
    tile = tiles.Tile(0, 0, index + 1)
    assert running.get(f"/v1/{tile.path}").body[-32:].hex() == leaf
    bundle = running.get(f"/v1/{tile._replace(is_bundle=True).path}").body
    assert tiles.decode_bundle(bundle, index + 1)[index] == signed.encode(event)


def test_an_event_that_is_posted_again_is_stored_once(running: Running) -> None:
    event = running.cast.signed(registration("again"), "carol")
    first, second = running.post(event).document, running.post(event).document
    assert first["receipts"][0]["position"] == second["receipts"][0]["position"]


def test_events_of_one_request_are_stored_together_or_not_at_all(running: Running) -> None:
    events = [running.cast.signed(registration("many", f"1.{n}"), "carol") for n in range(3)]
    receipts = running.post(*events).document["receipts"]
    assert [one["position"] - receipts[0]["position"] for one in receipts] == [0, 1, 2]
    before = size(running)
    good = running.cast.signed(registration("many", "1.9"), "carol")
    stranger = running.cast.signed(registration("many", "1.10"), "dave")
    assert running.post(good, stranger).status == 409
    assert size(running) == before


def test_an_answer_proves_what_it_says(running: Running) -> None:
    body = registration("proven")
    running.post(running.cast.signed(body, "carol"))
    reply = running.get(f"/v1/digests/{body.root}")
    answer = answers.decode(reply.body)
    assert reply.status == 200
    assert answer.digests == (body.root,)
    assert body.root.encode() in b"".join(
        signed.decode(event.entry).payload for event in answer.events
    )
    assert answer.freshness


def test_content_that_nobody_registered_is_answered_too(running: Running) -> None:
    reply = running.get("/v1/digests/" + "ab" * 32)
    assert reply.status == 200
    assert answers.decode(reply.body).freshness


def test_models_versions_and_recalls_are_listed(running: Running) -> None:
    body = registration("listed", "2.0", "some content")
    cast = running.cast
    running.post(
        cast.signed(registration("listed", "1.0"), "carol"),
        cast.signed(body, "carol"),
        cast.signed(promotion(body, "staging"), "carol"),
    )
    found = running.get("/v1/models?like=listed&limit=1").document
    assert [one["name"] for one in found["models"]] == ["listed"]
    page = running.get("/v1/models/listed?limit=1").document
    assert page["model"]["stages"] == {"staging": ["2.0"]}
    assert [one["version"] for one in page["versions"]] == ["2.0"]
    second = running.get(f"/v1/models/listed?before={page['next']}").document
    assert [one["version"] for one in second["versions"]] == ["1.0"]
    assert second["next"] is None
    assert running.get("/v1/models/listed/2.0").document["root"] == body.root
    running.post(cast.signed(Recalled("root", body.root, "<b>bad</b>", body.digests), "carol"))
    recalls = running.get("/v1/recalls").document["recalls"]
    assert recalls[0]["reason"] == "<b>bad</b>"
    assert running.get("/v1/models/listed/2.0").document["recalled"]


@pytest.mark.parametrize("path", ["/v1/models/none", "/v1/models/none/1.0", "/none", "/v1/tile/9"])
def test_what_is_not_there_is_a_problem_document(running: Running, path: str) -> None:
    reply = running.get(path)
    assert reply.status == 404
    problem(reply.headers["content-type"], reply.document, 404)


def problem(kind: str, document: dict[str, object], status: int) -> None:
    """That a document has what RFC 9457 and our clients ask for."""
    assert kind == "application/problem+json"
    assert document["status"] == status
    assert str(document["type"]).startswith("urn:keras-integrity:problem:")
    assert {"title", "detail", "code", "remedy", "evidence"} <= set(document)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "application/json", 400),
        (b'{"payload": "', "application/json", 400),
        (b"null", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"{}", "text/html", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"{}", "", 415),
        (b"{}\n{}", "application/x-ndjson", 400),
        (b"", "application/x-ndjson", 400),
    ],
)
def test_what_is_no_event_is_refused(running: Running, body: bytes, kind: str, status: int) -> None:
    before = size(running)
    reply = running.ask("POST", "/v1/events", body, {"content-type": kind} if kind else None)
    assert reply.status == status
    problem(reply.headers["content-type"], reply.document, status)
    assert size(running) == before


def test_ten_thousand_events_in_one_post_are_refused(running: Running) -> None:
    before, line = size(running), signed.encode(running.cast.signed(registration("x"), "carol"))
    short = running.ask("POST", "/v1/events", b"\n".join([b"{}"] * 10_000), LINES)
    long = running.ask("POST", "/v1/events", b"\n".join([line] * 10_000), LINES)
    assert (short.status, long.status) == (413, 413)
    problem(long.headers["content-type"], long.document, 413)
    assert size(running) == before


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_of_a_gigabyte_is_refused_and_not_read(running: Running, is_chunked: bool) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    if is_chunked:
        data = head + b"transfer-encoding: chunked\r\n\r\n" + b"100000\r\n" + b" " * 0x100000
        reply = running.raw(data + b"\r\n100000\r\n" + b" " * 0x100000)
    else:
        reply = running.raw(head + b"content-length: 1073741824\r\n\r\n" + b" " * 0x100000)
    assert reply.startswith(b"HTTP/1.1 413 ")
    problem("application/problem+json", json.loads(reply.partition(b"\r\n\r\n")[2]), 413)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_asked_for_in_vain(running: Running, name: str) -> None:
    for path in ("/v1/models/{}", "/v1/models/m/{}", "/v1/models?like={}", "/v1/models?after={}"):
        reply = running.get(path.format(quote(name, safe="")))
        assert reply.status in (200, 400, 404, 414), path
        assert name.encode() not in reply.body or "/" not in reply.headers["content-type"][:4]
        assert "set-cookie" not in reply.headers


@pytest.mark.parametrize("field", ["model", "version", "container", "algorithm", "statement"])
@pytest.mark.parametrize("text", ["'; DROP TABLE log; --", "<script>", "a\0b", "x" * 60_000])
def test_sql_and_html_in_a_field_of_an_event_is_refused(
    running: Running, field: str, text: str
) -> None:
    before = size(running)
    body = registration("fields")
    good = running.cast.signed(body, "carol")
    value = json.loads(good.payload)
    spelt = json.dumps(value)
    old = json.dumps(str(getattr(body, field)))
    payload = spelt.replace(old, json.dumps(text)).replace(", ", ",").replace(": ", ":").encode()
    event = SignedEvent(payload, running.cast.countersigned(SignedEvent(payload), "carol")[1])
    from keras_integrity_hook.registry.events import PAYLOAD_TYPE
    from keras_integrity_hook.sealing import envelope

    encoded = envelope.encode(envelope.Envelope(*event), PAYLOAD_TYPE)
    reply = running.ask("POST", "/v1/events", encoded, JSON)
    assert 400 <= reply.status < 500
    problem(reply.headers["content-type"], reply.document, reply.status)
    assert size(running) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/digests/zz",
        "/v1/digests/" + "ab" * 33,
        "/v1/digests/" + "AB" * 32,
        "/v1/digests/" + ",".join(["ab" * 32] * 17),
        "/v1/digests/" + "ab" * 32 + "?keys=xyz",
        "/v1/digests/" + "ab" * 32 + "?since=-1",
        "/v1/models?limit=100000",
        "/v1/models/m?before=x",
        "/v1/recalls?before=" + "9" * 40,
    ],
)
def test_a_question_that_makes_no_sense_is_refused(running: Running, path: str) -> None:
    reply = running.get(path)
    assert reply.status == 400
    problem(reply.headers["content-type"], reply.document, 400)


def test_a_head_that_is_too_long_is_refused(running: Running) -> None:
    assert running.get("/" + "a" * (LIMITS.request_target + 1)).status == 414
    for count in (200, 20_000):  # one that arrives at once, and one that does not
        many = b"".join(b"x-%d: %b\r\n" % (n, b"y" * 100) for n in range(count))
        reply = running.raw(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n" + many + b"\r\n")
        assert reply[:13] in (b"HTTP/1.1 431 ", b"HTTP/1.1 400 ", b"")
    assert running.raw(b"\x16\x03\x01\x02\x00\x01").startswith(b"HTTP/1.1 400 ")


def test_a_method_that_no_route_has_is_refused(running: Running) -> None:
    for method, path in (
        ("DELETE", "/v1/models/posted"),
        ("PUT", "/v1/events"),
        ("GET", "/v1/events"),
    ):
        reply = running.ask(method, path)
        assert reply.status == 405
        problem(reply.headers["content-type"], reply.document, 405)


def test_every_response_forbids_browsers_what_was_not_meant(running: Running) -> None:
    for path in ("/healthz", "/v1/models", "/none", "/v1/digests/zz"):
        headers = running.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_tile_may_be_kept_for_ever_and_a_checkpoint_not(running: Running) -> None:
    assert "immutable" in running.get("/v1/tile/0/000.p/1").headers["cache-control"]
    assert running.get("/v1/checkpoint").headers["cache-control"] == "no-store"
    assert running.get("/v1/tile/0/000").status == 404  # there are not 256 events yet
    assert ORIGIN.encode() in running.get("/v1/checkpoint").body


def test_health_metrics_and_the_description_of_the_interface(running: Running) -> None:
    health = running.get("/healthz").document
    assert health["status"] == "ok"
    assert health["registry"] == running.cast.registry
    assert running.ask("HEAD", "/healthz").status == 200
    running.get("/v1/models/" + "q" * 50)
    metrics = running.get("/metrics").body.decode()
    assert 'route="/v1/models/{name}",status="404"' in metrics
    assert "q" * 50 not in metrics
    assert f"keras_integrity_registry_log_size {float(size(running))}" in metrics
    assert "keras_integrity_registry_service_key_seconds" in metrics
    paths = running.get("/openapi.json").document["paths"]
    assert {"/v1/events", "/v1/digests/{digests}", "/v1/models", "/v1/checkpoint"} <= set(paths)


def test_a_refused_event_is_counted_by_its_rule(running: Running) -> None:
    reply = running.post(running.cast.signed(registration("counted"), "dave"))
    assert reply.status == 409
    rule = reply.document["evidence"]["rule"]
    assert f'events_refused_total{{rule="{rule}"}}' in running.get("/metrics").body.decode()


def test_a_head_that_never_ends_and_a_body_that_never_comes_are_not_waited_for(
    running: Running,
) -> None:
    head = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: "
    body = b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n"
    body += b"content-type: application/json\r\n\r\n{"
    with ThreadPoolExecutor() as pool:
        replies = list(pool.map(running.raw, (b"", head, body)))
    assert replies[:2] == [b"", b""]  # hung up
    assert replies[2].startswith(b"HTTP/1.1 408 ")
    assert running.get("/healthz").status == 200


def test_more_requests_than_fit_are_sent_away_before_they_cost_anything(tmp_path: Path) -> None:
    import httpx

    (tmp_path / "keys").mkdir()
    cast = Cast(tmp_path / "keys")
    database = f"sqlite:///{tmp_path}/registry.db"
    found_registry(database, cast)

    async def statuses() -> list[int]:
        with open_store(database) as store:
            small = app(store, signers.find(cast.service), Options(waiting=2))
            transport = httpx.ASGITransport(small)
            async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
                end = asyncio.Event()

                async def body() -> AsyncIterator[bytes]:
                    await end.wait()
                    yield b"{}"

                waiting = [
                    asyncio.create_task(client.post("/v1/events", content=body(), headers=JSON))
                    for _ in range(2)
                ]
                await asyncio.sleep(0)
                while (reply := await client.get("/healthz")).status_code != 503:
                    pass
                assert reply.headers["retry-after"] == "1"
                end.set()
                return [reply.status_code, *[(await one).status_code for one in waiting]]

    assert asyncio.run(statuses()) == [503, 400, 400]
