# SPDX-License-Identifier: Apache-2.0
"""What a machine believes of what a registry says, for how long, and what asking may cost it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.registry import answers, client, export
from keras_integrity_hook.registry.client import asking, databases, deadline, memory
from keras_integrity_hook.registry.client.memory import Asked
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.registry.verdicts import Verdict
from keras_integrity_hook.signing import keys
from tests.support.fleets import Fleet, forget_what_was_said
from tests.support.registries import registration
from tests.support.registry_service import Running, serving

pytest.importorskip("sqlalchemy", reason="a registry needs sqlalchemy")

HOUR = timedelta(hours=1)
BODY = registration()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine remembers."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    forget_what_was_said()
    return tmp_path / "state" / "keras-integrity" / "registry"


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A registry that knows one version."""
    made = Fleet(tmp_path / "fleet")
    made.add(BODY, "carol")
    return made


@pytest.fixture
def service(tmp_path: Path, fleet: Fleet) -> Iterator[Running]:
    pytest.importorskip("uvicorn", reason="a service needs uvicorn")
    with serving(fleet.url, fleet.cast, home=tmp_path) as running:
        yield running


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Set this machine's clock so much ahead, or back."""

    def ahead(by: timedelta) -> None:
        monkeypatch.setattr(asking, "clock", lambda: datetime.now(UTC) + by)

    return ahead


def ask(fleet: Fleet, url: str = "", *, max_age: timedelta = HOUR, seconds: float = 20) -> Verdict:
    return client.ask(
        url or fleet.url,
        (BODY.root,),
        registry_id=fleet.id,
        max_age=max_age,
        timeout=timedelta(seconds=seconds),
    )


def mirror_of(fleet: Fleet, directory: Path, valid: timedelta = HOUR) -> str:
    now = datetime.now(UTC)
    export.export(fleet.store, str(directory), fleet.key, now, now + valid)
    return f"file://{directory}"


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """The URL of a web server that knows files and nothing else."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", ["database", "service", "mirror", "mirror behind a server"])
def test_what_a_registry_knows_wherever_it_is(
    tmp_path: Path, fleet: Fleet, service: Running, kind: str
) -> None:
    fleet.promote(BODY)
    mirror = mirror_of(fleet, tmp_path / "mirror")
    with served(tmp_path / "mirror") as behind:
        urls = {"database": fleet.url, "service": service.url, "mirror": mirror}
        url = urls.get(kind, behind)
        verdict = ask(fleet, url)
        (known,) = verdict.registrations
        assert (known.model, known.version, known.stages) == ("classifier", "1.0", ("production",))
        assert known.signers == ("carol",)
        assert not verdict.recalls
        # Once more, now that its checkpoint was seen, and after it has grown.
        fleet.recall(BODY.digests["sha512"])
        mirror_of(fleet, tmp_path / "mirror")
        forget_what_was_said()
        shutil.rmtree(memory.directory(fleet.id) + "/answers")
        assert [recall.by for recall in ask(fleet, url).recalls] == [("carol",)]


def test_registry_in_postgresql_is_asked(tmp_path: Path, postgres: Any) -> None:
    fleet = Fleet(tmp_path / "fleet", postgres.new_database("asked"))
    fleet.add(BODY, "carol")
    assert ask(fleet).registrations
    fleet.recall(BODY.digests["blake2b"], "wrong data")
    assert [recall.reason for recall in ask(fleet).recalls] == ["wrong data"]
    databases.close()
    fleet.store.close()


def test_answer_serves_through_an_outage_and_not_for_ever(
    fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    ask(fleet, service.url)
    service.end()
    forget_what_was_said()  # another process finds it on the disk
    at(timedelta(minutes=59))
    assert ask(fleet, service.url).registrations
    at(timedelta(minutes=61))
    with pytest.raises(kih.RegistryUnavailableError, match="cannot be reached") as caught:
        ask(fleet, service.url)
    assert caught.value.since is not None
    assert caught.value.since >= 3660


def test_database_that_is_gone_is_an_outage_too(
    fleet: Fleet, at: Callable[[timedelta], None]
) -> None:
    ask(fleet)
    Path(fleet.url.removeprefix("sqlite:///")).unlink()
    databases.close()
    forget_what_was_said()
    at(timedelta(minutes=59))
    assert ask(fleet).registrations
    at(timedelta(minutes=61))
    with pytest.raises(kih.RegistryError):
        ask(fleet)


def test_dead_registry_costs_its_time_out_once_a_minute(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something listens there, and says nothing."""
    asked, begun = [], datetime.now(UTC)
    with socket.create_server(("127.0.0.1", 0)) as dead:
        dead.settimeout(0.01)
        url = f"http://127.0.0.1:{dead.getsockname()[1]}"

        def heard() -> int:
            try:
                while True:
                    asked.append(dead.accept())
            except TimeoutError:
                return len(asked)

        for ahead, count in ((0, 1), (0, 1), (50, 1), (61, 2), (62, 2)):
            now = begun + timedelta(seconds=ahead)  # however long it takes to ask
            monkeypatch.setattr(asking, "clock", lambda now=now: now)
            forget_what_was_said()
            with pytest.raises(kih.RegistryUnavailableError):
                ask(fleet, url, seconds=1)
            assert heard() == count, ahead
    for connection, _ in asked:
        connection.close()


@pytest.mark.parametrize("is_another_process", [False, True])
def test_clock_that_was_ahead_once_is_not_held_against_a_machine_for_ever(
    fleet: Fleet, at: Callable[[timedelta], None], is_another_process: bool
) -> None:
    at(timedelta(days=3650))
    ask(fleet)
    at(timedelta())
    if is_another_process:
        forget_what_was_said()
    ask(fleet)
    databases.close()
    os.rename(fleet.url.removeprefix("sqlite:///"), f"{fleet.url.removeprefix('sqlite:///')}.gone")
    assert ask(fleet).registrations


def test_server_that_always_says_a_little_more_keeps_no_thread(fleet: Fleet) -> None:
    """Asked once a minute, it would else have one more each time."""
    end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def go_on() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                while not end.wait(0.05):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        threading.Thread(target=go_on, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        try:
            with pytest.raises(kih.RegistryUnavailableError):
                ask(fleet, url, seconds=0.3)
            until = time.monotonic() + 100
            while is_asking() and time.monotonic() < until:
                time.sleep(0.05)
            assert not is_asking()
        finally:
            end.set()


def is_asking() -> bool:
    return any(one.name == "keras-integrity-registry" for one in threading.enumerate())


def test_server_that_sends_a_byte_now_and_then_holds_nobody(fleet: Fleet) -> None:
    end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not end.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            with pytest.raises(kih.RegistryUnavailableError, match=r"within 0\.5 s"):
                ask(fleet, f"http://127.0.0.1:{server.getsockname()[1]}", seconds=0.5)
        finally:
            end.set()
            thread.join()


def test_answer_of_a_service_is_taken_for_a_minute_and_that_of_a_database_is_asked_for(
    fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    for url in (fleet.url, service.url):
        assert not ask(fleet, url).recalls
    fleet.recall(BODY.root)
    assert ask(fleet).recalls
    assert not ask(fleet, service.url).recalls
    at(timedelta(seconds=61))
    assert ask(fleet, service.url).recalls


def test_old_answer_that_is_given_again_is_believed_until_its_freshness_ends(
    tmp_path: Path, fleet: Fleet, at: Callable[[timedelta], None]
) -> None:
    """Somebody who stands between repeats what was said before the recall."""
    url = mirror_of(fleet, tmp_path / "mirror", valid=timedelta(minutes=10))
    fleet.recall(BODY.root)
    at(timedelta(minutes=9))
    assert not ask(fleet, url).recalls
    for path in (None, memory.directory(fleet.id)):  # with what was kept, and without
        if path is not None:
            shutil.rmtree(path)
        forget_what_was_said()
        at(timedelta(minutes=11))
        if path is None:
            assert not ask(fleet, url).recalls  # not older than registry_max_age yet
            at(timedelta(minutes=61))
        with pytest.raises(kih.RegistryUnavailableError):
            ask(fleet, url)


def test_fresh_answer_is_not_taken_for_longer_than_the_policy_says(
    tmp_path: Path, fleet: Fleet, at: Callable[[timedelta], None]
) -> None:
    url = mirror_of(fleet, tmp_path / "mirror", valid=timedelta(days=30))
    at(timedelta(hours=2))
    with pytest.raises(kih.RegistryUnavailableError, match="registry_max_age"):
        ask(fleet, url)
    assert ask(fleet, url, max_age=timedelta(days=1)).registrations


def test_clock_that_was_turned_back_makes_nothing_young(
    fleet: Fleet, service: Running, at: Callable[[timedelta], None]
) -> None:
    """What was said before, in an outage; and what is said now, which is of the future there."""
    ask(fleet, service.url)
    at(-timedelta(minutes=30))
    with pytest.raises(kih.WrongClockError, match="yet to come"):
        ask(fleet, service.url)
    service.end()
    shutil.rmtree(memory.directory(fleet.id) + "/silent", ignore_errors=True)
    with pytest.raises(kih.WrongClockError, match="clock says"):
        ask(fleet, service.url)


def test_registry_that_forgets_is_a_fork(fleet: Fleet, tmp_path: Path) -> None:
    """A database that was put back to what it was before a recall."""
    path = Path(fleet.url.removeprefix("sqlite:///"))
    fleet.store.close()
    before = tmp_path / "before.db"
    with sqlite3.connect(path) as old, sqlite3.connect(before) as backup:
        old.backup(backup)
    fleet.add(registration(version="2.0"), "carol")
    fleet.recall(BODY.root)
    assert ask(fleet).recalls
    with sqlite3.connect(before) as old, sqlite3.connect(path) as now:
        old.backup(now)
    forget_what_was_said()
    with pytest.raises(kih.RegistryForkError) as caught:
        ask(fleet)
    seen, shown = caught.value.seen.split("\n"), caught.value.shown.split("\n")
    assert (seen[1], shown[1]) == ("4", "2")
    with pytest.raises(kih.RegistryForkError):  # and no answer of before is taken for it
        ask(fleet)


def test_registry_that_tells_each_another_past_is_a_fork(fleet: Fleet, tmp_path: Path) -> None:
    """Its administrators, and a service key, sign two logs of one beginning."""
    fleet.store.close()
    path, other = Path(fleet.url.removeprefix("sqlite:///")), tmp_path / "other.db"
    with sqlite3.connect(path) as one, sqlite3.connect(other) as two:
        one.backup(two)
    with open_store(f"sqlite:///{other}") as twin:
        more = fleet.cast.signed(registration(version="3.0"), "carol")
        twin.append(more, service_key=fleet.key, now=datetime.now(UTC))
    fleet.recall(BODY.root)
    assert ask(fleet).recalls
    with sqlite3.connect(other) as two, sqlite3.connect(path) as one:
        two.backup(one)
    forget_what_was_said()
    with pytest.raises(kih.RegistryForkError) as caught:
        ask(fleet)
    assert caught.value.seen.split("\n")[1] == caught.value.shown.split("\n")[1]


def test_what_others_may_write_is_not_remembered(fleet: Fleet, service: Running) -> None:
    """Whoever can write there could bring an old answer back."""
    ask(fleet, service.url)
    service.end()
    forget_what_was_said()
    folder = Path(memory.directory(fleet.id))
    folder.chmod(0o777)
    with pytest.raises(kih.RegistryUnavailableError):
        ask(fleet, service.url)
    folder.chmod(0o700)
    assert ask(fleet, service.url).registrations


def test_kept_answer_that_was_edited_is_no_answer(fleet: Fleet, service: Running) -> None:
    """It is verified again by whoever reads it."""
    ask(fleet, service.url)
    service.end()
    forget_what_was_said()
    asked = Asked(service.url, fleet.id, (BODY.root,))
    given = memory.given(asked)
    assert given is not None
    said = answers.decode(given.answers[0])
    without = answers.encode(said._replace(events=said.events[:1]))
    memory.keep(asked, given._replace(answers=(without,)))
    with pytest.raises(kih.RegistryUnavailableError):
        ask(fleet, service.url)


@pytest.mark.parametrize(
    ("status", "body"),
    [("200 OK", b"<html>"), ("302 Found", b""), ("503 No", b"{}"), ("404 Not Found", b"")],
)
def test_what_is_no_registry_is_an_error_and_is_not_believed(
    fleet: Fleet, status: str, body: bytes
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(2):
                try:
                    connection, _ = server.accept()
                except OSError:  # one question was enough, and the server is closed
                    return
                with connection:
                    connection.recv(65536)
                    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode() + body)

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(kih.RegistryError):
            ask(fleet, f"http://127.0.0.1:{server.getsockname()[1]}")


def test_what_is_too_long_is_not_read(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        connection.sendall(b"x" * 65536)
                except OSError:
                    return

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(kih.LimitExceededError):
            ask(fleet, f"http://127.0.0.1:{server.getsockname()[1]}")


def test_token_is_sent_and_one_that_others_may_read_is_not(
    tmp_path: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:  # the server is closed
                    return
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("KERAS_INTEGRITY_REGISTRY_TOKEN_FILE", str(token))
        token.chmod(0o600)
        with pytest.raises(kih.RegistryError, match="401"):
            ask(fleet, url)
        token.chmod(0o644)
        with pytest.raises(kih.RegistryError, match="others may use the token file"):
            ask(fleet, url)
    (request,) = heard
    assert b"Authorization: Bearer s3cret\r\n" in request


def test_inherited_connection_is_not_used_by_a_child(fleet: Fleet) -> None:
    ask(fleet)
    child = os.fork()
    if child == 0:
        os._exit(0 if ask(fleet).registrations else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask(fleet).registrations


@pytest.mark.parametrize("kind", ["database", "service", "mirror"])
def test_signatures_are_verified_by_the_thread_that_asks(
    tmp_path: Path,
    fleet: Fleet,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """OpenSSL holds a lock while a thread that used it ends, and a child that is forked then has to
    wait for it for ever."""
    verifying = set()
    is_valid = keys.is_valid

    def noted(*given: Any) -> bool:
        verifying.add(threading.get_ident())
        return is_valid(*given)

    monkeypatch.setattr(keys, "is_valid", noted)
    if kind == "service":
        ask(fleet, request.getfixturevalue("service").url)
    else:
        ask(fleet, fleet.url if kind == "database" else mirror_of(fleet, tmp_path / "mirror"))
    assert verifying == {threading.get_ident()}


def test_error_of_what_is_waited_for_is_raised_here() -> None:
    def broken() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        deadline.within(5, broken)
