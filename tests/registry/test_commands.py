# SPDX-License-Identifier: Apache-2.0
"""``keras-integrity registry``: a registry as people found, use and keep it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import keras_integrity_hook as kih
from keras_integrity_hook.cli import main
from keras_integrity_hook.registry import export as exporting
from keras_integrity_hook.registry import mirrors, signed
from keras_integrity_hook.registry.client import spool
from keras_integrity_hook.registry.events import Founded
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.signing import private, signers
from tests.support.models import archive_bytes, write_model
from tests.support.registries import Cast
from tests.support.registry_service import serving

ORIGIN = "models.example.com/log"
ROLES = """
administer = { actors = ["alice", "bob"], threshold = 2 }
register = { actors = ["carol"] }
recall = { actors = ["carol"] }
restore = { actors = ["dave"] }

[stages]
staging = { actors = ["carol"] }
production = { actors = ["alice", "bob"], threshold = 2 }
"""


class Desk:
    """Somebody who types commands about one registry, with everybody's keys at hand."""

    def __init__(self, folder: Path, cast: Cast) -> None:
        self.folder, self.cast = folder, cast
        self.url = f"sqlite:///{folder / 'registry.db'}"
        os.environ["KERAS_INTEGRITY_REGISTRY"] = self.url

    def run(self, *arguments: object, code: int = 0, by: tuple[str, ...] = ()) -> Result:
        """Run a command, signed by these people."""
        keys = [part for name in by for part in ("--key", self.cast.path(name))]
        done = CliRunner().invoke(main, ["registry", *map(str, arguments), *keys])
        assert not done.exception or isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == code, done.output
        return done

    def said(self, *arguments: object, code: int = 0, by: tuple[str, ...] = ()) -> dict[str, Any]:
        """What a command says with --json."""
        found = json.loads(self.run(*arguments, "--json", code=code, by=by).output)
        assert isinstance(found, dict)
        assert found["ok"] is (code == 0)
        return found

    def rule(self, *arguments: object, by: tuple[str, ...]) -> str:
        """The rule that refuses an event."""
        error = self.said(*arguments, code=1, by=by)["error"]
        assert error["code"] == "event-refused"
        return str(error["evidence"]["rule"])

    def roles_file(self, text: str = ROLES) -> Path:
        lines = [f'[[actors]]\nname = "{n}"\npublic = "{self.cast.path(n)}.pub"\n' for n in PEOPLE]
        path = self.folder / "roles.toml"
        path.write_text(text + "\n".join(lines))
        return path

    def founded(self) -> str:
        """Found the registry with the roles above; its id."""
        arguments = ("init", "--origin", ORIGIN, "--roles", self.roles_file())
        return str(self.said(*arguments, by=("alice", "bob"))["registry_id"])

    def model(self, version: str = "1.0") -> Path:
        """A sealed model file, of other content for each version."""
        path = self.folder / f"model-{version}.keras"
        config = {"class_name": "Sequential", "name": version}
        path.write_bytes(archive_bytes(config=json.dumps(config).encode()))
        kih.seal(path)
        return path

    def registered(self, version: str = "1.0") -> Path:
        path = self.model(version)
        self.run("register", path, "--model", "m", "--version", version, by=("carol",))
        return path


PEOPLE = ("alice", "bob", "carol", "dave")


@pytest.fixture(scope="module")
def cast(tmp_path_factory: pytest.TempPathFactory) -> Cast:
    return Cast(tmp_path_factory.mktemp("cast"))


@pytest.fixture
def desk(tmp_path: Path, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("KERAS_INTEGRITY_REGISTRY", "KERAS_INTEGRITY_ALGORITHM"):
        monkeypatch.setenv(name, "")  # so that what a desk sets is taken back
        monkeypatch.delenv(name)
    return Desk(tmp_path, cast)


def test_a_log_is_not_called_by_a_url_with_its_scheme(desk: Desk) -> None:
    """Its name stays for ever, and other people's tools take it without."""
    init = ("init", "--origin", f"https://{ORIGIN}", "--admin", "alice")
    assert "without its scheme" in desk.run(*init, by=("alice",), code=1).output.replace("\n", " ")


def test_from_a_new_registry_to_a_recalled_model_and_back(desk: Desk) -> None:
    """One person, who has one key."""
    init = ("init", "--origin", ORIGIN, "--admin", "alice")
    founded = desk.run(*init, by=("alice",)).output
    assert (desk.folder / "registry.db.key").stat().st_mode & 0o777 == 0o600
    registry_id = desk.said("status")["registry_id"]
    assert f'registry_id = "{registry_id}"' in founded

    path, by = desk.model(), ("alice",)
    desk.run("register", path, "--model", "m", "--version", "1.0", by=by)
    again = desk.run("register", path, "--model", "m", "--version", "1.0", by=by).output
    assert "as it was already" in again
    assert desk.said("promote", "m", "v1", "--stage", "production", by=by)["position"] == 2
    (version,) = desk.said("show", "m")["versions"]
    assert (version["version"], version["stages"], version["signers"]) == (
        "1.0",
        ["production"],
        ["alice"],
    )
    assert "at production  1.0" in desk.run("show").output
    assert "size" in desk.run("show", "m", "1.0").output

    desk.run("recall", "m", "1.0", "--reason", "it's <b>poisoned</b>", by=by)
    assert "it's <b>poisoned</b>" in desk.run("show", "--recalls").output
    assert desk.run("show", "m").output.startswith("recalled")
    assert desk.rule("promote", "m", "1.0", "--stage", "staging", by=by) == "recalled"
    desk.run("restore", "m", "1.0", "--reason", "a false alarm", by=by)
    assert "None." in desk.run("show", "--recalls").output
    desk.run("withdraw", "m", "1.0", "--stage", "production", "--reason", "old", by=by)
    assert desk.said("show", "m", "1.0")["versions"][0]["stages"] == []

    types = [event["type"] for event in desk.said("log")["events"]]
    assert types == ["withdrawn", "restored", "recalled", "promoted", "registered", "founded"]
    assert len(desk.said("log", "-n", "2")["events"]) == 2
    assert len(desk.said("log", "--model", "m")["events"]) == 5  # what it is was recalled
    assert desk.said("log", "--model", "another")["events"] == []
    assert "signed by  alice" in desk.run("log").output
    assert desk.said("rebuild")["events"] == 6
    assert desk.said("rebuild", "--upgrade")["events"] == 6
    assert desk.said("verify") | {"root": ""} == {
        "schema": 1,
        "command": "registry verify",
        "ok": True,
        "registry_id": registry_id,
        "events": 6,
        "root": "",
        "faults": [],
    }


def test_a_second_founding_changes_nothing(desk: Desk) -> None:
    registry_id = desk.founded()
    again = ("init", "--origin", ORIGIN, "--admin", "mallory")
    assert desk.rule(*again, by=("dave",)) == "founded"
    assert desk.said("status")["registry_id"] == registry_id


def test_what_needs_two_is_signed_by_one_after_the_other(desk: Desk) -> None:
    """In a file, which anybody may carry to the registry; twice is once."""
    desk.founded()
    desk.registered()
    promote = ("promote", "m", "1.0", "--stage", "production")
    alone = desk.run(*promote, code=1, by=("alice",)).output
    assert "--out FILE" in alone.replace("\n       ", " ")
    file = desk.folder / "event.json"
    desk.run(*promote, "--out", file, by=("alice",))
    desk.run(*promote, "--out", file, code=1, by=("bob",))  # no file is overwritten
    assert desk.rule("submit", file, by=()) == "threshold"
    shown = desk.run("sign", file, by=("bob",)).output
    assert "production" in shown
    assert "1.0" in shown
    assert desk.said("sign", file, by=("bob",))["added"] == 0
    position = desk.said("submit", file)["position"]
    assert desk.said("submit", file)["position"] == position
    assert desk.said("show", "m", "1.0")["versions"][0]["stages"] == ["production"]


def test_both_keys_of_one_command_sign_together(desk: Desk) -> None:
    desk.founded()
    desk.registered()
    desk.run("promote", "m", "1.0", "--stage", "production", by=("alice", "bob"))


def test_a_registry_that_two_found_has_no_database_before_both_have_signed(desk: Desk) -> None:
    file, init = desk.folder / "founding.json", ("init", "--origin", ORIGIN, "--roles")
    roles = desk.roles_file()
    assert desk.rule(*init, roles, by=("alice",)) == "threshold"
    desk.run(*init, roles, "--out", file, by=("alice",))
    assert desk.rule("submit", file, by=()) == "threshold"
    assert not (desk.folder / "registry.db").exists()
    desk.run("sign", file, by=("bob",))
    desk.run("submit", file)
    found = signed.decode(file.read_bytes())
    assert isinstance(signed.event_of(found).body, Founded)
    assert desk.said("status")["registry_id"] == found.id


def test_roles_are_changed_by_those_who_administer(desk: Desk) -> None:
    desk.founded()
    printed = desk.run("roles", "--json").output
    file = desk.folder / "roles.json"
    file.write_text(printed)
    assert "2 of alice, bob" in desk.run("roles").output
    assert desk.rule("roles", "--set", file, by=("carol",)) == "not-allowed"
    value = json.loads(printed)
    value["roles"]["register"] = {"actors": ["dave"]}
    file.write_text(json.dumps(value))
    desk.run("roles", "--set", file, by=("alice", "bob"))
    private.write_pair(str(desk.folder / "new"), "ed25519", None)
    service = {"name": "new", "public": "new.pub", "expires": "2099-01-31"}  # JSON has no dates
    value["roles"]["services"].append(service)
    file.write_text(json.dumps(value))
    desk.run("roles", "--set", file, by=("alice", "bob"))
    assert desk.said("roles")["roles"]["services"][1]["expires"] == "2099-01-31T23:59:59Z"
    path = desk.model()
    error = desk.said(*("register", path, "--model", "m", "--version", "1"), code=1, by=("carol",))[
        "results"
    ][0]["error"]
    assert error["evidence"]["rule"] == "not-allowed"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "administer = 1",
        "administer = { actors = [1] }",
        "no toml",
        "{no json",
        '{"roles": []}',
        ROLES + "more = 1\n",
        ROLES.replace('register = { actors = ["carol"] }', ""),
        ROLES.replace('["carol"]', '["mallory"]'),
        ROLES.replace("threshold = 2", "threshold = 3"),
        ROLES.replace("threshold = 2", 'threshold = "2"'),
        ROLES.replace("staging", '"<script>"'),
        ROLES + '[[services]]\nname = "s"\npublic = "missing.pub"\nexpires = 2099-01-01\n',
        ROLES + '[[services]]\nname = "s"\npublic = "roles.toml"\nexpires = 2099-01-01\n',
        "\x00\xff",
    ],
)
def test_roles_that_cannot_be_are_one_error(desk: Desk, text: str) -> None:
    file = desk.roles_file(text)
    done = CliRunner().invoke(
        main,
        [
            *("registry", "init", "--origin", ORIGIN, "--roles", str(file)),
            *("--key", desk.cast.path("alice"), "--key", desk.cast.path("bob")),
        ],
    )
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code in (1, 2)
    assert "Error: " in done.output
    assert not (desk.folder / "registry.db").exists()


def test_what_is_recalled_is_what_lies_there_whatever_its_seal_says(desk: Desk) -> None:
    desk.founded()
    path = desk.registered()
    kih.unseal(path)
    desk.run("recall", "--path", path, "--reason", "bad", by=("carol",))
    os.environ["KERAS_INTEGRITY_ALGORITHM"] = "blake2b"
    kih.seal(path)
    register = ("register", path, "--model", "other", "--version", "1")
    error = desk.said(*register, code=1, by=("carol",))["results"][0]["error"]
    assert error["evidence"]["rule"] == "recalled"
    digest = kih.inspect(path).seal.root  # type: ignore[union-attr]
    desk.run("restore", "--digest", digest, "--reason", "fine", by=("dave",))
    desk.run(*register, by=("carol",))
    keyid = desk.cast.keys["bob"].keyid
    desk.run("recall", "--keyid", keyid, "--reason", "lost", by=("carol",))
    assert desk.rule("roles", "--set", desk.roles_file(), by=("carol",)) == "not-allowed"
    promote = ("promote", "m", "1.0", "--stage", "production")
    assert desk.rule(*promote, by=("alice", "bob")) == "recalled-key"


def test_only_content_that_matches_its_seal_is_registered(desk: Desk) -> None:
    desk.founded()
    named = ("--model", "m", "--version", "1")
    unsealed = write_model(desk.folder, "model.keras")
    damaged = desk.model()
    damaged.write_bytes(damaged.read_bytes().replace(b"Sequential", b"Functional"))
    missing = desk.folder / "missing.keras"
    for path, code in ((unsealed, "unsealed"), (damaged, None), (missing, None)):
        done = desk.said("register", path, *named, code=1, by=("carol",))["results"][0]
        assert not done["ok"]
        assert code in (None, done["error"]["code"])
    nameless = desk.said("register", desk.model("2"), code=1, by=("carol",))["results"][0]
    assert "--model NAME" in nameless["error"]["remedy"]
    assert desk.said("status")["events"] == 1


def test_the_name_is_that_of_the_seal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.founded()
    path = write_model(desk.folder, "model.keras")
    monkeypatch.setenv("KERAS_INTEGRITY_MODEL_VERSION", "3.1")
    kih.seal(path)
    other = ("register", path, "--model", "m", "--version", "4")
    error = desk.said(*other, code=1, by=("carol",))["results"][0]["error"]
    assert "'3.1'" in error["message"]
    desk.run("register", path, "--model", "m", by=("carol",))
    assert desk.said("show", "m")["versions"][0]["version"] == "3.1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("recall", "--reason", "x"),
        ("recall", "m", "--reason", "x"),
        ("recall", "m", "1", "--digest", "ab" * 32, "--reason", "x"),
        ("recall", "--digest", "AB", "--reason", "x"),
        ("recall", "m", "1"),
        ("init", "--origin", ORIGIN),
        ("init", "--origin", ORIGIN, "--admin", "a", "--roles", "r"),
        ("promote", "m", "1"),
        ("register",),
        ("register", "a", "b", "--version", "1"),
        ("export", "mirror", "--valid-for", "soon"),
        ("status", "--registry", "mysql://host/db"),
        ("status", "--registry", "postgresql+psycopg://me:secret@host/db"),
        ("rebuild", "--registry", "https://example.com"),
        ("init", "--origin", ORIGIN, "--admin", "a", "--registry", "https://example.com"),
    ],
)
def test_a_wrong_command_line_ends_with_2(desk: Desk, arguments: tuple[str, ...]) -> None:
    output = desk.run(*arguments, code=2, by=()).output
    assert "Error: " in output
    assert "secret" not in output


@pytest.mark.parametrize(
    "arguments",
    [
        ("promote", "m", "9.9", "--stage", "staging"),
        ("show", "nobody"),
        ("show", "m", "latest"),
        ("show", "'; DROP TABLE events; --"),
        ("withdraw", "m", "1.0", "--stage", "staging"),
        ("withdraw", "m", "1.0", "--stage", "<script>"),
        ("recall", "m", "1.0", "--reason", "\x1b[31mred"),
        ("recall", "m", "1.0", "--reason", "x" * 2000),
        ("restore", "--digest", "ab" * 32, "--reason", "x"),
        ("submit", "missing.json"),
    ],
)
def test_what_cannot_be_is_one_error_and_changes_nothing(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    desk.founded()
    desk.registered()
    by = () if arguments[0] in ("show", "submit") else ("carol",)
    output = desk.run(*arguments, code=1, by=by).output
    assert output.startswith("Error: ")
    assert "\x1b" not in output
    assert desk.said("status")["events"] == 2


def test_nothing_is_signed_for_another_registry_than_the_configured_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.founded()
    path = desk.registered()
    monkeypatch.setenv("KERAS_INTEGRITY_REGISTRY_ID", "ab" * 32)
    file = desk.folder / "event.json"
    recall = ("recall", "--path", path, "--reason", "x")
    assert "is configured" in desk.run(*recall, "--out", file, code=1, by=("carol",)).output
    assert not file.exists()
    desk.run("status", code=1)
    assert desk.said("verify", code=1)["faults"][0]["what"] == "registry"


def test_no_key_and_no_registry_are_said_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.founded()
    desk.registered()
    assert "--key" in desk.run("promote", "m", "1.0", "--stage", "staging", code=1).output
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", desk.cast.path("carol"))
    desk.run("promote", "m", "1.0", "--stage", "staging")
    monkeypatch.delenv("KERAS_INTEGRITY_REGISTRY")
    assert "--registry" in desk.run("show", code=2).output


def test_a_log_that_does_not_continue_what_was_seen_is_refused_with_1(desk: Desk) -> None:
    desk.founded()
    desk.registered()
    seen = desk.folder / "checkpoint"
    with open_store(desk.url) as store:
        seen.write_bytes(store.checkpoint())
    desk.run("verify", "--seen", seen)
    (desk.folder / "other").mkdir()
    other = Desk(desk.folder / "other", desk.cast)
    other.founded()
    faults = other.said("verify", "--seen", seen, code=1)["faults"]
    assert "fork" in [one["what"] for one in faults]
    assert other.run("verify", "--seen", seen, code=1).output.startswith("fork")


def test_a_mirror_is_read_and_not_written(desk: Desk) -> None:
    desk.founded()
    path = desk.registered()
    mirror = desk.folder / "mirror"
    assert desk.said("export", mirror)["size"] == 2
    desk.run("recall", "--path", path, "--reason", "x", by=("carol",))
    assert desk.said("export", mirror, "--valid-for", "2h")["added"] == 1
    url = f"file://{mirror}"
    assert desk.said("log", "--registry", url)["events"] == desk.said("log")["events"]
    assert desk.said("roles", "--registry", url)["roles"] == desk.said("roles")["roles"]
    assert desk.said("verify", "--registry", url)["events"] == 3
    assert "database" in desk.run("show", "--registry", url, code=1).output
    recall = ("recall", "--digest", "ab" * 32, "--reason", "x", "--registry", url)
    desk.run(*recall, code=1, by=("carol",))


@pytest.fixture
def service(desk: Desk) -> Iterator[Callable[..., Any]]:
    desk.founded()
    key = Cast.__new__(Cast)
    key.__dict__.update(desk.cast.__dict__, service=str(desk.folder / "registry.db.key"))
    with serving(desk.url, key, home=desk.folder) as running:
        os.environ["KERAS_INTEGRITY_REGISTRY"] = running.url
        yield desk.said


def test_a_service_is_used_as_its_database_is(desk: Desk, service: Callable[..., Any]) -> None:
    path = desk.registered()
    desk.run("promote", "m", "1.0", "--stage", "staging", by=("carol",))
    assert desk.rule("promote", "m", "1.0", "--stage", "production", by=("alice",)) == "threshold"
    assert desk.rule("promote", "m", "1.0", "--stage", "moon", by=("carol",)) == "unknown-stage"
    desk.run("recall", "--path", path, "--reason", "bad", by=("carol",))
    listed = [service("show"), service("show", "m"), service("show", "m", "v1.0.0")]
    listed += [service("show", "--recalls"), service("log"), service("status"), service("roles")]
    assert desk.run("show", "nobody", code=1).output.startswith("Error: no model")
    assert service("verify")["events"] == 4
    os.environ["KERAS_INTEGRITY_REGISTRY"] = desk.url
    directly = [desk.said("show"), desk.said("show", "m"), desk.said("show", "m", "1.0")]
    directly += [desk.said("show", "--recalls"), desk.said("log"), desk.said("status")]
    directly += [desk.said("roles")]
    for one in (*listed, *directly):
        one.pop("registry", None)
    assert listed == directly


def test_a_registry_in_postgresql_has_its_service_key_named(desk: Desk, postgres: Any) -> None:
    desk.url = os.environ["KERAS_INTEGRITY_REGISTRY"] = postgres.new_database("commands")
    init = ("init", "--origin", ORIGIN, "--roles", desk.roles_file())
    assert "--service-key" in desk.run(*init, code=2, by=("alice", "bob")).output
    made = desk.folder / "made.key"
    service_key = ("--service-key", made)
    assert "made.key" in desk.run(*init, *service_key, by=("alice", "bob")).output
    assert made.stat().st_mode & 0o777 == 0o600
    path = desk.model()
    register = ("register", path, "--model", "m", "--version", "1.0")
    assert "--service-key" in desk.run(*register, code=2, by=("carol",)).output
    desk.run(*register, *service_key, by=("carol",))
    desk.run("promote", "m", "1.0", "--stage", "staging", *service_key, by=("carol",))
    assert desk.said("show", "m", "1.0")["versions"][0]["stages"] == ["staging"]
    assert desk.said("verify")["events"] == 3
    assert desk.said("export", desk.folder / "mirror", *service_key)["size"] == 3


def test_whoever_sees_what_there_is_to_sign_may_say_no(desk: Desk) -> None:
    """At a terminal one is asked; the file stays as it was."""
    desk.founded()
    desk.registered()
    file = desk.folder / "event.json"
    promote = ("promote", "m", "1.0", "--stage", "production", "--out", file)
    desk.run(*promote, by=("alice",))
    before = file.read_bytes()
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "registry", "sign", str(file)]
    command += ["--key", desk.cast.path("bob")]
    for answer, is_signed in (b"n\n", False), (b"y\n", True):
        ours, theirs = pty.openpty()
        try:
            os.write(ours, answer)
            done = subprocess.run(
                command, stdin=theirs, capture_output=True, timeout=60, check=False
            )
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"production" in done.stdout
        assert (done.returncode == 0) is is_signed
        assert (file.read_bytes() != before) is is_signed


def test_what_saves_left_is_registered_by_flush(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry_id = desk.founded()
    carol = desk.cast.path("carol")
    for name, value in (("MODEL", "m"), ("MODEL_VERSION", "1.0"), ("KEY", carol)):
        monkeypatch.setenv(f"KERAS_INTEGRITY_{name}", value)
    path = write_model(desk.folder, "saved.keras")
    kih.seal(path)
    sealed = kih.inspect(path).seal
    assert sealed is not None
    later = desk.folder / "later"
    task = spool.Task(str(path), sealed.root, f"sqlite:///{later}", registry_id, carol)
    spool.add(task)
    assert desk.said("status")["waiting"] == 1
    done = desk.said("flush", code=1)
    assert (done["sent"], done["refused"], done["waiting"]) == (0, [], 1)
    assert desk.run("flush", code=1).output.startswith("waiting         1 model")
    for end in ("", ".key"):
        (desk.folder / f"registry.db{end}").rename(f"{later}{end}")
    assert desk.run("flush").output.startswith("registered      1 model")
    assert desk.said("flush")["sent"] == 0
    assert desk.said("show", "m", "--registry", task.url)["versions"][0]["version"] == "1.0"


def test_two_exports_in_one_second_are_two(desk: Desk) -> None:
    desk.founded()
    mirror = desk.folder / "mirror"
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    with open_store(desk.url) as store, store.snapshot() as source:
        key = signers.find(f"{desk.folder / 'registry.db'}.key")
        for _ in range(3):
            exporting.export(source, str(mirror), key, moment, moment + timedelta(hours=1))
    now = mirrors.pointer((mirror / mirrors.POINTER).read_bytes()).moment
    there = sorted(path.name for path in (mirror / mirrors.ANSWERS).iterdir())
    assert (len(there), there[-1]) == (2, now)


def test_a_registry_that_is_not_founded_leaves_no_key_of_a_service(desk: Desk) -> None:
    roles = desk.roles_file()
    for by in (("alice",), ("dave", "carol")):
        desk.run("init", "--origin", ORIGIN, "--roles", roles, code=1, by=by)
        assert sorted(path.name for path in desk.folder.glob("registry.db*")) == []
    assert desk.founded()
    assert (desk.folder / "registry.db.key").exists()
    desk.run("init", "--origin", ORIGIN, "--roles", roles, code=1, by=("alice", "bob"))
    assert (desk.folder / "registry.db.key").exists()


def test_what_is_no_registry_is_told_with_its_place_and_what_to_do(desk: Desk) -> None:
    (desk.folder / "text.db").write_text("hello")
    told = {
        f"file://{desk.folder}/nowhere": "there is no such directory",
        f"file://{desk.folder}": "no mirror of a registry is there",
        f"sqlite:///{desk.folder}/text.db": "this file is no database",
        f"sqlite:///{desk.folder}/nowhere.db": "there is no registry in this database",
    }
    for url, cause in told.items():
        said = desk.said("log", "--registry", url, code=1)["error"]
        assert cause in said["message"], said
        assert said["remedy"]


@pytest.mark.skipif(os.getuid() != 0, reason="changes the user")
def test_a_database_that_a_user_may_not_read_is_told_so(desk: Desk) -> None:
    desk.founded()
    (desk.folder / "registry.db").chmod(0)
    child = os.fork()
    if child == 0:
        os.setuid(65534)
        try:
            with open_store(desk.url):
                os._exit(1)
        except kih.RegistryError as error:
            os._exit(0 if "cannot be read (Permission denied)" in error.cause else 2)
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_of_the_log_fit_a_terminal(desk: Desk, columns: int) -> None:
    desk.founded()
    command = [sys.executable, "-m", "keras_integrity_hook.cli", "registry", "log"]
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "NO_COLOR": "1"}
        subprocess.run(command, stdout=theirs, env=environment, timeout=60, check=True)
        lines = os.read(ours, 65536).decode().splitlines()
    finally:
        os.close(ours)
        os.close(theirs)
    assert lines[0].startswith("founded")
    assert max(map(len, lines)) < columns


def test_a_lost_database_is_filled_from_its_mirror(desk: Desk, tmp_path: Path) -> None:
    registry_id = desk.founded()
    for version in ("1.0", "2.0"):
        path = write_model(desk.folder, f"{version}.keras")
        kih.seal(path)
        desk.run("register", path, "--model", "m", "--version", version, by=("carol",))
    desk.run("export", tmp_path / "mirror")
    mirror, key = f"file://{tmp_path}/mirror", desk.folder / "registry.db.key"
    with open_store(desk.url) as store:
        before = (store.checkpoint(), [one.encoded for one in store.whole_log()])
    new = f"sqlite:///{tmp_path}/new.db"
    filled = ("import", "mirror", mirror, "--registry", new, "--service-key", key)
    assert desk.said(*filled)["events"] == 3
    with open_store(new) as store:
        assert (store.checkpoint(), [one.encoded for one in store.whole_log()]) == before
        assert store.registry_id() == registry_id
    desk.run("verify", "--registry", new)
    assert "already" in desk.said(*filled, code=1)["error"]["message"]


def test_no_database_is_filled_from_a_mirror_that_somebody_edited(
    desk: Desk, tmp_path: Path
) -> None:
    desk.founded()
    desk.run("export", tmp_path / "mirror")
    bundle = next((tmp_path / "mirror" / "v1" / "tile" / "entries").rglob("*.p/*"))
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundle.write_bytes(data)
    mirror, key = f"file://{tmp_path}/mirror", desk.folder / "registry.db.key"
    new = tmp_path / "new.db"
    filled = ("import", "mirror", mirror, "--registry", f"sqlite:///{new}", "--service-key", key)
    desk.said(*filled, code=1)
    assert not new.exists()
