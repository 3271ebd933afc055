# SPDX-License-Identifier: Apache-2.0
"""Where a web server may send those who ask it for a model."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_integrity_hook.errors import RemoteError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import sources
from tests.support.buckets import Web, web_server

aiohttp = pytest.importorskip("aiohttp")
trustme = pytest.importorskip("trustme")

from aiohttp import connector  # noqa: E402

from keras_integrity_hook.remote import redirects  # noqa: E402

DATA = bytes(range(256)) * 1_000


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A web server whose address is taken for one of the public internet; ``inside`` has another
    one."""
    redirects.client_for.cache_clear()
    monkeypatch.setattr(redirects, "is_public", lambda address: address == "127.0.0.2")
    with web_server("127.0.0.2") as server:
        yield server


@pytest.fixture
def inside() -> Iterator[Web]:
    with web_server() as server:
        server.files["/m.keras"] = DATA
        yield server


def fetched(url: str) -> bytes:
    with sources.open_source(url) as source:
        return b"".join(source.stream())


def test_redirect_to_another_host_is_followed(web: Web, inside: Web) -> None:
    web.moved["/m.keras"] = f"{inside.url}/m.keras"
    assert fetched(f"{web.url}/m.keras") == DATA


def test_redirects_without_end_are_not_followed(web: Web) -> None:
    web.moved = {f"/{count}": f"/{count + 1}" for count in range(LIMITS.redirects + 1)}
    web.files[f"/{LIMITS.redirects}"] = DATA
    del web.moved[f"/{LIMITS.redirects}"]
    assert fetched(f"{web.url}/0") == DATA
    web.moved["/"] = "/"
    with pytest.raises(RemoteError, match="sends those who ask on") as caught:
        fetched(f"{web.url}/")
    assert "name that instead" in caught.value.remedy()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
def test_server_on_the_internet_sends_nobody_to_this_machine(
    outside: Web, inside: Web, name: str
) -> None:
    outside.moved["/m.keras"] = f"{inside.url.replace('127.0.0.1', name)}/m.keras"
    with pytest.raises(RemoteError, match="public internet"):
        fetched(f"{outside.url}/m.keras")
    assert inside.requests == []


def test_server_on_the_internet_sends_on_to_the_internet_and_no_further(
    outside: Web, inside: Web
) -> None:
    outside.moved = {"/m.keras": "/there", "/n.keras": "/on", "/on": f"{inside.url}/m.keras"}
    outside.files["/there"] = DATA
    assert fetched(f"{outside.url}/m.keras") == DATA
    with pytest.raises(RemoteError, match="public internet"):
        fetched(f"{outside.url}/n.keras")
    assert inside.requests == []


def test_server_of_one_s_own_network_may_send_on_within_it(outside: Web, inside: Web) -> None:
    inside.moved["/n.keras"] = "/m.keras"
    assert fetched(f"{inside.url}/n.keras") == DATA


def test_redirect_that_comes_after_the_size_was_told_is_no_other(outside: Web, inside: Web) -> None:
    outside.files["/m.keras"] = DATA
    with sources.open_source(f"{outside.url}/m.keras") as source:
        outside.moved["/m.keras"] = f"{inside.url}/m.keras"
        with pytest.raises(RemoteError, match="public internet"):
            b"".join(source.stream())
        with pytest.raises(RemoteError, match="public internet"):
            source.read(0, 10)
    assert inside.requests == []


def test_encrypted_way_does_not_lead_over_one_that_is_not(
    inside: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    monkeypatch.setattr(connector, "_SSL_CONTEXT_VERIFIED", trusting)
    with web_server(tls=context) as secure:
        secure.files["/m.keras"] = DATA
        secure.moved = {"/n.keras": "/m.keras", "/o.keras": f"{inside.url}/m.keras?sig=topsecret"}
        assert fetched(f"{secure.url}/n.keras") == DATA
        with pytest.raises(RemoteError, match="not encrypted") as caught:
            fetched(f"{secure.url}/o.keras")
    assert "topsecret" not in str(caught.value)
    assert inside.requests == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("169.254.169.254", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_address_of_the_public_internet(address: str, public: bool) -> None:
    assert redirects.is_public(address) is public
