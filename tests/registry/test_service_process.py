# SPDX-License-Identifier: Apache-2.0
"""The service as a process: how it starts, whom it lets in, how it ends, and how it is killed."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

pytest.importorskip("fastapi")

import trustme

from keras_integrity_hook.errors import ConfigurationError, InsecurePermissionsError
from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.service import tokens
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.signing import signers
from tests.support.processes import cli, environment
from tests.support.registries import Cast, registration
from tests.support.registry_service import JSON, Running, found_registry, serving


class Founded(NamedTuple):
    """A registry that nobody serves yet."""

    home: Path
    database: str
    cast: Cast


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    home = tmp_path_factory.mktemp("registry")
    (home / "keys").mkdir()
    cast = Cast(home / "keys")
    database = f"sqlite:///{home}/registry.db"
    found_registry(database, cast)
    return Founded(home, database, cast)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose sockets have paths that fit into an address."""
    with tempfile.TemporaryDirectory(prefix="kih-") as name:
        yield Path(name)


def with_tls(folder: Path) -> tuple[trustme.CA, list[str]]:
    """A certificate for the service: who issued it, and the options that name it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(folder / "crt"), append=True)
    return authority, ["--tls-cert", str(folder / "crt"), "--tls-key", str(folder / "key")]


def test_tls_and_tokens_keep_out_whoever_has_none(founded: Founded, tmp_path: Path) -> None:
    authority, options = with_tls(tmp_path)
    made = json.loads(cli("registry", "token", "ci", "--json").stdout)
    (tmp_path / "tokens").write_text(f"# who may ask\n{made['line']}\n")
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    options += ["--tokens", str(tmp_path / "tokens"), "--log-requests"]
    with serving(founded.database, founded.cast, *options, home=tmp_path) as service:
        assert service.url.startswith("https://")
        basic = base64.b64encode(f"me:{made['token']}".encode()).decode()
        for header, status in (
            (None, 401),
            ("Bearer", 401),
            ("Bearer wrong", 401),
            ("Basic !!!", 401),
            (f"Digest {made['token']}", 401),
            (f"Bearer {made['token']}", 200),
            (f"Basic {basic}", 200),
        ):
            headers = {"authorization": header} if header else None
            for path in ("/v1/models", "/v1/checkpoint", "/metrics"):
                reply = service.ask("GET", path, headers=headers, tls=tls)
                assert reply.status == status, (header, path)
            if status == 401:
                assert "Bearer" in reply.headers["www-authenticate"]
                assert service.ask("POST", "/v1/events", b"{}", JSON, tls=tls).status == 401
                assert service.ask("GET", "/none", headers=headers, tls=tls).status == 401
        health = service.ask("GET", "/healthz", tls=tls)
        assert health.status == 200
        assert health.headers["strict-transport-security"]
        with pytest.raises((ConnectionError, OSError)):  # plain HTTP
            service.ask("GET", "/healthz")
        assert service.end() == 0
        assert service.process.stdout is not None
        printed = service.process.stdout.read() + (tmp_path / "serve.err").read_text()
    assert '"GET /v1/models HTTP/1.1" 200' in printed
    assert made["token"] not in printed


def test_a_tls_handshake_that_does_not_end_is_not_waited_for(
    founded: Founded, tmp_path: Path
) -> None:
    authority, options = with_tls(tmp_path)
    tls, said = ssl.create_default_context(), ssl.MemoryBIO()
    authority.configure_trust(tls)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1").do_handshake()
    hello = said.read()

    def is_hung_up(first: int) -> bool:
        """Whether the service ends a connection on which so many bytes come at once, and then one
        after the other for less than the minute that asyncio would wait."""
        address = urlsplit(service.url)
        with socket.create_connection((address.hostname, address.port), timeout=0.2) as plain:
            plain.sendall(hello[:first])
            try:
                for at in range(first, first + 200):
                    with contextlib.suppress(TimeoutError):
                        return plain.recv(1) == b""
                    plain.sendall(hello[at : at + 1])
            except ConnectionError:
                return True
        return False

    with serving(founded.database, founded.cast, *options, home=tmp_path) as service:
        with ThreadPoolExecutor() as pool:
            waiting = list(pool.map(is_hung_up, (0, 100)))
            assert waiting == [True, True]
        assert service.ask("GET", "/healthz", tls=tls).status == 200


@pytest.mark.parametrize("line", ["", "name", "name abc", "<b> " + "0" * 63, "a b " + "0" * 64])
def test_a_file_of_tokens_that_has_something_else_starts_nothing(
    founded: Founded, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(line)
    with pytest.raises(ConfigurationError):
        tokens.read(str(path))
    path.write_text(f"good {'0' * 64}")
    assert [one.name for one in tokens.read(str(path))] == ["good"]
    path.chmod(0o666)
    with pytest.raises(InsecurePermissionsError):
        tokens.read(str(path))


def test_a_unix_socket_is_for_its_group_and_is_taken_from_the_dead(
    founded: Founded, tmp_path: Path, short: Path
) -> None:
    place = short / "registry.sock"
    option = ("--unix", str(place))
    with serving(founded.database, founded.cast, *option, home=tmp_path) as service:
        assert service.get("/healthz").status == 200
        assert stat.S_IMODE(place.stat().st_mode) == 0o660
        second = serve(founded, *option)
        assert second.returncode == 2
        assert "another process listens there" in second.stderr
        service.end(signal.SIGKILL)
    assert place.exists()
    with serving(founded.database, founded.cast, *option, home=tmp_path) as service:
        assert service.get("/healthz").status == 200
    ordinary = short / "file"
    ordinary.write_text("mine")
    assert serve(founded, "--unix", str(ordinary)).returncode == 2
    assert ordinary.read_text() == "mine"


def serve(
    founded: Founded, *options: str, key: str | None = None
) -> subprocess.CompletedProcess[str]:
    """``registry serve`` that is expected to end by itself."""
    found = ("--registry", founded.database, "--service-key", key or founded.cast.service)
    return cli("registry", "serve", *found, *options)


def test_what_cannot_be_served_says_why_in_a_line(founded: Founded, tmp_path: Path) -> None:
    key, tls = founded.cast.service, ("--tls-cert", f"{founded.cast.service}.pub", "--tls-key")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases: tuple[tuple[tuple[str, ...], int, str], ...] = (
            (("--port", port), 2, f"cannot listen at 127.0.0.1:{port}"),
            (
                ("--service-key", founded.cast.path("alice")),
                1,
                "not one of the registry's services",
            ),
            (("--registry", f"sqlite:///{tmp_path}/none.db"), 1, "there is no registry"),
            (("--registry", "https://example.com"), 2, "needs the registry's database"),
            (("--registry", "postgresql+psycopg://127.0.0.1:1/x"), 1, ""),
            (("--tls-cert", "x"), 2, "belong together"),
            ((*tls, key), 2, "the certificate and its key cannot be used"),
            (("--fresh-for", "soon"), 2, "allowed is"),
            (("--tokens", f"{tmp_path}/none"), 2, "there is no such file"),
        )
        with ThreadPoolExecutor(3) as pool:
            ended = list(pool.map(lambda case: serve(founded, "--port", "0", *case[0]), cases))
    for (_, status, cause), done in zip(cases, ended, strict=True):
        assert (done.returncode, "Traceback" in done.stderr) == (status, False), done
        assert cause in " ".join(done.stderr.split())


def test_the_name_of_a_token_is_one_word() -> None:
    for name in ("two words", "", "#", "a" * 65, "a\nb"):
        with pytest.raises(ConfigurationError):
            tokens.made(name)
    secret, entry = tokens.made("ci")
    assert tokens.owner(f"Bearer {secret}", (entry,)) == "ci"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_being_answered_when_the_service_is_told_to_end_is_answered(
    founded: Founded, tmp_path: Path, number: int
) -> None:
    body = signed.encode(founded.cast.signed(registration("late", f"1.{number}"), "carol"))
    head = b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    head += b"content-length: %d\r\n\r\n" % len(body)
    with serving(founded.database, founded.cast, home=tmp_path) as service:
        port = int(service.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(head + body[:10])
            wait_until_open(service)
            service.process.send_signal(number)
            wait_until_closed(port)
            client.sendall(body[10:])
            assert client.recv(65536).startswith(b"HTTP/1.1 201 ")
        assert service.process.wait(timeout=60) == 0


def wait_until_open(service: Running) -> None:
    """Until a request besides our own is being answered."""
    while b"requests_open 2.0" not in service.get("/metrics").body:
        pass


def wait_until_closed(port: int) -> None:
    """Until nobody listens at ``port`` any more."""
    with contextlib.suppress(ConnectionError):
        while True:
            socket.create_connection(("127.0.0.1", port), timeout=60).close()


def test_systemd_is_told_when_the_service_is_ready_and_when_it_ends(
    founded: Founded, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(short / "notify"))
        told.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(short / "notify"))
        with serving(founded.database, founded.cast, home=tmp_path) as service:
            assert told.recv(100) == b"READY=1"
            assert service.end() == 0
            assert told.recv(100) == b"STOPPING=1"


def test_a_socket_that_systemd_opened_is_taken_over(founded: Founded, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        command = [sys.executable, "-m", "keras_integrity_hook.cli", "registry", "serve"]
        command += ["--registry", founded.database, "--service-key", founded.cast.service]
        script = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with subprocess.Popen(
            ["bash", "-c", script, str(listening.fileno()), *command],
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        ) as process:
            assert process.stdout is not None
            word, url = process.stdout.readline().split()
            assert (word, url.rpartition(":")[2]) == ("serving", str(listening.getsockname()[1]))
            service = Running(process, url, founded.database, founded.cast)
            assert service.get("/healthz").status == 200
            assert service.end() == 0


def test_a_client_that_leaves_in_the_middle_leaves_no_trace(
    founded: Founded, tmp_path: Path
) -> None:
    head = b"POST /v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    with serving(founded.database, founded.cast, home=tmp_path) as service:
        port = int(service.url.rpartition(":")[2])
        for data in (b"", b"GET /v1/mod", head, head + b'content-length: 9\r\n\r\n{"a"'):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                client.sendall(data)
        while b"requests_open 1.0" not in service.get("/metrics").body:
            pass
        assert service.end() == 0
    assert (tmp_path / "serve.err").read_text() == ""


# Imports once and forks a service for each line it reads: a fresh interpreter takes seconds.
_FORKING = """
import os, sys
from keras_integrity_hook.cli import main
from keras_integrity_hook.registry.service import application, serving
from keras_integrity_hook.registry.store import opening
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        main(["registry", "serve", *sys.argv[1:]])
    print("pid", child, flush=True)
    os.waitpid(child, 0)
"""


@pytest.mark.parametrize("kills", [20, pytest.param(1000, marks=pytest.mark.nightly)])
def test_no_acknowledged_event_is_lost_when_the_service_is_killed(
    founded: Founded, tmp_path: Path, kills: int
) -> None:
    database = f"sqlite:///{tmp_path}/killed.db"
    found_registry(database, founded.cast)
    cast = founded.cast
    acknowledged: list[tuple[int, bytes]] = []
    arguments = ["--registry", database, "--service-key", cast.service, "--port", "0"]
    with subprocess.Popen(
        [sys.executable, "-c", _FORKING, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        chance = random.Random(12)
        for round_ in range(kills):
            parent.stdin.write("\n")
            parent.stdin.flush()
            child, url = started(parent)
            service = Running(parent, url, database, cast)
            posting = threading.Thread(target=post_until_dead, args=(service, round_, acknowledged))
            before = len(acknowledged)
            posting.start()
            if round_ % 4 == 0:  # else it may die before its first answer
                while posting.is_alive() and len(acknowledged) == before:
                    posting.join(0.01)
            posting.join(chance.uniform(0, 0.2))
            os.kill(child, signal.SIGKILL)
            posting.join()
        parent.stdin.close()
    assert acknowledged
    with open_store(database) as store:
        for position, leaf in acknowledged:
            assert store.hashes(0, position, position + 1) == [leaf]
        whole = [one.encoded for one in store.whole_log()]
        assert store.rebuild() == store.size() == len(whole)


def started(parent: subprocess.Popen[str]) -> tuple[int, str]:
    """The process id and the URL of the service that was forked."""
    assert parent.stdout is not None
    child, url = 0, ""
    while not (child and url):
        line = parent.stdout.readline()
        assert line, "the parent ended"
        word, *rest = line.split()
        child = int(rest[0]) if word == "pid" else child
        url = rest[0] if word == "serving" else url
    return child, url


def post_until_dead(service: Running, round_: int, acknowledged: list[tuple[int, bytes]]) -> None:
    """Post event after event, and keep what was receipted."""
    for number in range(1000):
        event = service.cast.signed(registration("killed", f"{round_}.{number}"), "carol")
        try:
            reply = service.post(event)
        except (OSError, http.client.HTTPException):
            return
        if reply.status == 201:
            (receipt,) = reply.document["receipts"]
            acknowledged.append((receipt["position"], bytes.fromhex(receipt["leaf"])))


def test_a_service_whose_key_expired_is_not_well(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    cast = Cast(tmp_path / "keys")
    roles = cast.roles()
    service = roles.services[0]._replace(expires="2001-01-01T00:00:00Z")
    database = f"sqlite:///{tmp_path}/registry.db"
    with open_store(database, create=True) as store:
        store.append(
            cast.founding(roles._replace(services=(service,))),
            service_key=signers.find(cast.service),
            now=datetime(2000, 1, 1, tzinfo=UTC),
        )
    done = cli(
        "registry", "serve", "--registry", database, "--service-key", cast.service, "--port", "0"
    )
    assert done.returncode == 1
    assert "expired" in done.stderr
