# SPDX-License-Identifier: Apache-2.0
"""What a machine pulls is what the publisher says now, whoever stands between the two."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.distribution import addresses, fetching, places, publishing, pulling
from keras_integrity_hook.distribution.pulling import Pulled
from keras_integrity_hook.distribution.subscriptions import Source
from keras_integrity_hook.errors import (
    AuditError,
    ConfigurationError,
    InsecurePermissionsError,
    NotSignedError,
    RevokedModelError,
    TrustUpdateError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import trust_edit, trust_store
from tests.distribution.publisher import LONG_AGO, Publisher, entry, recalled, revoked
from tests.distribution.web import Web
from tests.support.models import write_model
from tests.support.processes import cli, document, environment
from tests.support.signers import let_trust, make_key

ID = "ab" * 32
DAY = timedelta(days=1)


def begin(publisher: Publisher, web: Web, *, replace_root: bool = False) -> Pulled:
    source = Source(web.url, publisher.root)
    return pulling.pull(places.of_user(), source, replace_root=replace_root)


def again(*, replace_policy: bool = False) -> Pulled:
    return pulling.pull(places.of_user(), replace_policy=replace_policy)


def refused() -> str:
    """The reason why a pull fails, which leaves what is trusted as it was."""
    before = trust_store.store()
    with pytest.raises(TrustUpdateError) as caught:
        again()
    assert trust_store.store() == before
    assert caught.value.remedy()
    return caught.value.reason


# What it is for


def test_keys_revocations_and_a_policy_come_to_a_machine_and_count_there(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    release = make_key(tmp_path / "release")
    model = write_model(tmp_path, "model.keras")
    kih.seal(model)
    publisher.publish(entry("release", release), 'require = "signed"\n')
    begin(publisher, web)
    with pytest.raises(NotSignedError):
        kih.verify(model)
    kih.sign(model, key=str(tmp_path / "release"))
    report = kih.verify(model)
    assert report.signers == ("release",)
    assert report.seal is not None
    publisher.publish(entry("release", release) + recalled(report.seal.root))
    again()
    with pytest.raises(RevokedModelError):
        kih.verify(model)


def test_a_pull_that_brings_nothing_new_changes_nothing(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public), 'mode = "enforce"\n')
    first = begin(publisher, web)
    assert all(first.files.values())
    assert len(first.files) == 2
    second = again()
    assert not any(second.files.values())
    assert second.versions == first.versions
    assert not [
        path for path in web.asked[7:] if "targets/" in path
    ]  # what is there is not fetched


def test_a_directory_is_as_good_as_a_web_server(publisher: Publisher) -> None:
    publisher.publish(entry("a", publisher.public))
    url = addresses.checked_url(publisher.repository.as_uri())
    pulling.pull(places.of_user(), Source(url, publisher.root))
    assert [key.name for key in trust_store.store().keys] == ["a"]
    shutil.rmtree(publisher.repository)
    assert refused() == "unavailable"


def test_what_is_edited_here_stays_apart_and_a_revocation_here_holds(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    own = make_key(tmp_path / "own")
    let_trust("own", own)
    trust_edit.revoke_key(trust_store.user_file(), publisher.public.keyid, "stolen, I think")
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    again()
    found = trust_store.store()
    assert {key.name for key in found.keys} == {"own", "a"}
    assert publisher.public.keyid in found.revoked_keys


def test_a_file_that_is_no_longer_published_stays(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public), 'mode = "enforce"\n')
    begin(publisher, web)
    shutil.rmtree(publisher.repository)
    root = publisher.publish(entry("a", publisher.public))
    source = Source(web.url, Path(root.root).read_bytes())
    pulling.pull(places.of_user(), source, replace_root=True)
    assert Path(places.of_user().policy).read_text() == 'mode = "enforce"\n'


# Whoever stands between


def test_rollback_an_older_state_is_refused(publisher: Publisher, web: Web, tmp_path: Path) -> None:
    publisher.publish(entry("a", publisher.public))
    shutil.copytree(publisher.repository, tmp_path / "old")
    publisher.publish(recalled(ID))
    begin(publisher, web)
    shutil.rmtree(publisher.repository)
    shutil.copytree(tmp_path / "old", publisher.repository)
    assert refused() == "older"
    assert trust_store.store().revoked_models


def test_freeze_the_newest_word_is_believed_until_it_expires(
    publisher: Publisher, web: Web
) -> None:
    publisher.publish(entry("a", publisher.public), now=datetime.now(UTC) - 6 * DAY)
    begin(publisher, web)
    assert again().expires < datetime.now(UTC) + 2 * DAY
    shutil.rmtree(publisher.repository)  # the same, a year later
    publisher.publish(entry("a", publisher.public), now=LONG_AGO)
    with pytest.raises(TrustUpdateError, match="has expired, or newer is held back") as caught:
        pulling.pull(places.of_user(), Source(web.url, publisher.root), replace_root=True)
    assert caught.value.reason == "expired"


def test_mix_and_match_of_two_states_is_refused(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    old = tmp_path / "old"
    shutil.copytree(publisher.repository, old)
    begin(publisher, web)
    publisher.publish(recalled(ID))
    metadata = publisher.repository / "metadata"
    for role in ("snapshot", "targets"):
        newest = (metadata / f"2.{role}.json").read_bytes()
        shutil.copy(old / "metadata" / f"1.{role}.json", metadata / f"2.{role}.json")
        assert refused() in {"older", "not-genuine"}
        (metadata / f"2.{role}.json").write_bytes(newest)
    again()
    assert trust_store.store().revoked_models


def test_another_file_under_the_name_of_one_that_was_signed_is_refused(
    publisher: Publisher, web: Web
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    publisher.publish(recalled(ID))
    metadata = json.loads((publisher.repository / "metadata" / "2.targets.json").read_text())
    digest = metadata["signed"]["targets"]["trust.toml"]["hashes"]["sha256"]
    target = publisher.repository / "targets" / f"{digest}.trust.toml"
    text = target.read_text()
    target.write_text(text.replace("a", "b"))
    assert refused() == "not-genuine"
    target.write_text(text + "#")
    assert refused() == "not-genuine"


def test_what_somebody_else_signs_is_refused(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    thief = Publisher(publisher.home / "thief")
    for _ in range(3):
        thief.publish(entry("thief", thief.public))
    for name in ("timestamp.json", "3.snapshot.json", "1.targets.json"):
        source = thief.repository / "metadata" / name
        if source.exists():
            shutil.copy(source, publisher.repository / "metadata" / name)
    assert refused() == "not-genuine"
    shutil.copy(
        thief.repository / "metadata" / "1.root.json",
        publisher.repository / "metadata" / "2.root.json",
    )
    assert refused() == "not-genuine"


def test_one_flipped_bit_anywhere_is_refused(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    publisher.publish(recalled(ID))
    repository = publisher.repository
    names = ["metadata/timestamp.json", "metadata/2.snapshot.json", "metadata/2.targets.json"]
    digest = json.loads((repository / names[2]).read_text())["signed"]["targets"]["trust.toml"]
    names.append(f"targets/{digest['hashes']['sha256']}.trust.toml")
    for name in names:
        whole = (repository / name).read_bytes()
        for at in range(1, len(whole), max(1, len(whole) // 23)):
            spoilt = bytearray(whole)
            spoilt[at] ^= 1
            (repository / name).write_bytes(spoilt)
            assert refused() in {"not-genuine", "older", "expired", "unavailable"}, (name, at)
        (repository / name).write_bytes(whole)
    again()
    assert trust_store.store().revoked_models


def test_endless_data_is_not_read(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)

    def endless(request: Any) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            while True:
                request.wfile.write(b"x" * 65536)

    web.answers["timestamp.json"] = endless
    assert refused() == "not-genuine"


@pytest.mark.parametrize("what", ["body", "interim answers", "head"])
def test_a_server_that_sends_for_ever_is_not_waited_for(
    publisher: Publisher, web: Web, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)

    said = {"body": b"x", "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n", "head": b"X: y\r\n"}

    enough, was_waited_for = threading.Event(), threading.Event()

    def drip(request: Any) -> None:
        if what != "interim answers":
            request.send_response(200)
        if what == "body":
            request.end_headers()
        with suppress(OSError):
            for _ in range(1000):
                request.wfile.write(said[what])
                request.wfile.flush()
                if enough.wait(0.1):
                    return
            was_waited_for.set()

    monkeypatch.setattr(fetching, "LIMITS", LIMITS._replace(pull_seconds=1))
    web.answers["timestamp.json"] = drip
    assert refused() == "unavailable"
    assert not was_waited_for.is_set()
    enough.set()


@pytest.mark.parametrize("status", [404, 403, 500, 503])
def test_a_server_in_trouble_leaves_what_there_is(
    publisher: Publisher, web: Web, status: int
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    web.answers["timestamp.json"] = lambda request: request.send_error(status)
    assert refused() == "unavailable"
    assert [key.name for key in trust_store.store().keys] == ["a"]


def test_half_an_answer_is_refused(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)

    def half(request: Any) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "10000")
        request.end_headers()
        request.wfile.write(b'{"signatures": [')

    web.answers["timestamp.json"] = half
    assert refused() in {"unavailable", "not-genuine"}


# Changes of keys


def test_machines_follow_a_publisher_who_changes_all_keys_twice(
    publisher: Publisher, web: Web
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    for old, new in (("all", "second"), ("second", "third")):
        public = publisher.make_key(new)
        keyid = keyid_of(publisher, old)
        change = publishing.Change(
            admit=[(role, public) for role in publishing.ROLES],
            dismiss=[(role, keyid) for role in publishing.ROLES],
        )
        publisher.publish(keys=(old, new), change=change)
    publisher.publish(recalled(ID), keys=("third",))
    assert again().versions["root"] == 3
    assert trust_store.store().revoked_models


def keyid_of(publisher: Publisher, name: str) -> str:
    from keras_integrity_hook.signing import keys

    return keys.read_public(str(publisher.home / f"{name}.pub")).keyid


def test_a_key_for_timestamps_alone_decides_nothing(publisher: Publisher, web: Web) -> None:
    online = publisher.make_key("online")
    roles = [("root", publisher.public), ("targets", publisher.public)]
    change = publishing.Change(admit=[*roles, ("snapshot", online), ("timestamp", online)])
    publisher.publish(entry("a", publisher.public), keys=("all", "online"), change=change)
    begin(publisher, web)
    thief = Publisher(publisher.home / "thief")
    shutil.copy(publisher.home / "online", thief.home / "online")
    everything = [(role, online) for role in publishing.ROLES]
    for _ in range(2):
        thief.publish(
            entry("thief", thief.public), keys=("online",), change=publishing.Change(everything)
        )
        everything = []
    for path in (thief.repository / "metadata").iterdir():
        if not path.name.endswith("root.json"):
            shutil.copy(path, publisher.repository / "metadata" / path.name)
    for path in (thief.repository / "targets").iterdir():
        shutil.copy(path, publisher.repository / "targets" / path.name)
    with suppress(TrustUpdateError):
        again()
    assert [key.name for key in trust_store.store().keys] == ["a"]


def test_another_initial_root_needs_a_word(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    other = Publisher(publisher.home / "other")
    other.publish(entry("b", other.public))
    with Web(other.repository) as there:
        with pytest.raises(ConfigurationError, match="initial root is another") as caught:
            begin(other, there)
        assert "--replace-root" in caught.value.remedy()
        assert [key.name for key in trust_store.store().keys] == ["a"]
        begin(other, there, replace_root=True)
    assert [key.name for key in trust_store.store().keys] == ["b"]


def test_a_publisher_may_move(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    with Web(publisher.repository) as elsewhere:
        begin(publisher, elsewhere)
        publisher.publish(recalled(ID))
        assert again().url == elsewhere.url


# Mistakes


def test_what_would_be_a_mistake_here_is_not_put_in_place(publisher: Publisher, web: Web) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    publisher.publish(policy='mode = "enforce"\nlock = ["mode"]\n')  # only a machine's can lock
    assert refused() == "unusable"


def test_a_name_that_stands_for_somebody_else_here_is_not_put_in_place(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    let_trust("release", make_key(tmp_path / "own"))
    publisher.publish(entry("release", publisher.public))
    with pytest.raises(TrustUpdateError, match="named 'release'"):
        begin(publisher, web)
    assert [key.source for key in trust_store.store().keys] == [trust_store.user_file()]


def test_a_policy_that_was_not_pulled_stays_and_the_revocations_come_all_the_same(
    publisher: Publisher, web: Web, home: Path
) -> None:
    policy = home / "policy.toml"
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text('mode = "warn"\n')
    publisher.publish(recalled(ID), 'mode = "enforce"\n')
    with pytest.raises(ConfigurationError, match="a policy that was not pulled"):
        begin(publisher, web)
    assert policy.read_text() == 'mode = "warn"\n'
    assert trust_store.store().revoked_models
    again(replace_policy=True)
    assert policy.read_text() == 'mode = "enforce"\n'
    assert policy.with_name("policy.toml.previous").read_text() == 'mode = "warn"\n'
    publisher.publish(policy='mode = "enforce"\nunsealed = "reject"\n')
    again()  # that one was pulled
    assert "reject" in policy.read_text()


def test_a_log_that_cannot_be_written_keeps_no_key_good_that_the_publisher_revokes(
    publisher: Publisher, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, stolen, gone, new = (make_key(tmp_path / name) for name in ("a", "b", "c", "d"))
    three = entry("stays", stays) + entry("stolen", stolen) + entry("gone", gone)
    publisher.publish(three + recalled("cd" * 32), 'mode = "warn"\n')
    begin(publisher, web)
    policy = Path(places.of_user().policy)
    two = entry("renamed", stays) + entry("stolen", stolen)
    publisher.publish(
        two + entry("new", new) + revoked(stolen.keyid) + recalled(ID), 'mode = "off"\n'
    )
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "missing" / "audit.jsonl"))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    for _ in range(2):  # the timer comes again
        with pytest.raises(AuditError, match="only the revocations are in force"):
            again()
        found = trust_store.store()
        assert [key.name for key in found.keys] == ["stays", "stolen"]
        assert (set(found.revoked_keys), len(found.revoked_models)) == ({stolen.keyid}, 2)
        assert policy.read_text() == 'mode = "warn"\n'
    monkeypatch.delenv("KERAS_INTEGRITY_AUDIT_REQUIRED")
    again()
    found = trust_store.store()
    assert [key.name for key in found.keys] == ["renamed", "stolen", "new"]
    assert set(found.revoked_models) == {ID}  # the other is not published any more
    assert policy.read_text() == 'mode = "off"\n'


def test_what_cannot_be_recorded_is_not_pulled_where_nothing_is_revoked(
    publisher: Publisher, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "missing" / "audit.jsonl"))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    publisher.publish(entry("a", publisher.public), 'mode = "enforce"\n')
    with pytest.raises(AuditError, match="nothing of what was published is in force") as caught:
        begin(publisher, web)
    assert "pull again" in caught.value.remedy()
    assert trust_store.store().keys == ()
    assert not Path(places.of_user().policy).exists()


def test_where_others_may_write_nothing_is_pulled(
    publisher: Publisher, web: Web, home: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    (home / "published").chmod(0o777)
    with pytest.raises(InsecurePermissionsError):
        again()


def test_without_a_source_there_is_nothing_to_pull(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing was pulled here yet") as caught:
        again()
    assert "--root" in caught.value.remedy()
    assert not home.exists()


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.com", "example.com", "http://", "https://ann:secret@example.com/"),
        *("https://example.com/?a=1", "https://example.com/#x", "https://exa\nmple.com"),
        *("", "//x", "file://", "https://[::1", "https://example.com:x/"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        addresses.checked_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("root", [b"", b"{}", b"[]", b"\xff" * 9, b"[" * 9000, b'{"signed": 1}'])
def test_what_is_no_root_is_believed_in_nothing(
    publisher: Publisher, web: Web, root: bytes
) -> None:
    publisher.publish(entry("a", publisher.public))
    with pytest.raises(TrustUpdateError) as caught:
        pulling.pull(places.of_user(), Source(web.url, root))
    assert caught.value.reason == "not-genuine"
    assert not trust_store.store().keys


# Commands, records, and the machine's


def test_pull_as_a_command_and_what_it_records(
    publisher: Publisher, web: Web, tmp_path: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    log, root = tmp_path / "audit.jsonl", publisher.repository / "metadata" / "1.root.json"
    env = environment(KERAS_INTEGRITY_AUDIT_LOG=str(log))
    done = cli("trust", "pull", web.url, "--root", root, env=env)
    assert done.returncode == 0, done.stderr
    assert "published/trust.toml" in done.stdout
    told = document(cli("trust", "pull", "--json", env=env))
    assert (told["url"], told["files"][0]["changed"]) == (web.url, False)
    web.answers["timestamp.json"] = lambda request: request.send_error(500)
    failed = cli("trust", "pull", "--json", env=env)
    assert failed.returncode == 1
    error = json.loads(failed.stdout)["error"]
    assert (error["code"], error["evidence"]) == ("trust-update", {"reason": "unavailable"})
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(event["outcome"], event["facts"]["change"]) for event in events] == [
        ("ok", "pulled"),
        ("refused", "pulled"),
    ]
    assert events[0]["facts"]["source"] == web.url


def test_a_machine_that_hears_nothing_any_more_says_so(
    publisher: Publisher, web: Web, home: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    begin(publisher, web)
    (pulled,) = document(cli("trust", "list", "--json"))["pulled"]
    assert (pulled["url"], pulled["machine"]) == (web.url, False)
    assert "nothing has come" not in cli("doctor").stdout
    source = home / "published" / "source.toml"
    before = pulling.pull(places.of_user()).expires
    later = f"{before:%Y-%m-%dT%H:%M:%SZ}"
    assert f"current until  {later}" in cli("trust", "list").stdout
    source.write_text(source.read_text().replace(later, "2026-01-31T00:00:00Z"))
    assert f"behind          {web.url}" in cli("trust", "list").stdout
    told = " ".join(cli("doctor").stdout.split())
    assert f"Since 2026-01-31 nothing has come from {web.url}" in told


def test_a_pull_that_is_killed_leaves_the_old_files_or_the_new(
    publisher: Publisher, home: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    url = addresses.checked_url(publisher.repository.as_uri())
    pulling.pull(places.of_user(), Source(url, publisher.root))
    for number in range(6):
        text = entry(f"b{number}", publisher.public)
        publisher.publish(text)
        child = subprocess.Popen(
            [sys.executable, "-c", PULL], env=environment(), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.004 * number)
        child.kill()
        child.wait()
        child.stdout.close()
        (key,) = trust_store.store().keys
        assert key.keyid == publisher.public.keyid
        again()
        assert (home / "published" / "trust.toml").read_text() == text


PULL = """
import tuf.ngclient
from keras_integrity_hook.distribution import places, pulling
print("ready", flush=True)
pulling.pull(places.of_user())
"""


def test_url_and_root_go_together(tmp_path: Path) -> None:
    assert cli("trust", "pull", "https://example.com").returncode == 2
    assert cli("trust", "pull", "--root", tmp_path / "x").returncode == 2


def test_without_python_tuf_the_command_says_what_to_install(publisher: Publisher) -> None:
    code = (
        "import sys; sys.modules['tuf'] = None\n"
        "from keras_integrity_hook.cli import main\nmain(sys.argv[1:])"
    )
    publisher.publish(entry("a", publisher.public))
    root = publisher.repository / "metadata" / "1.root.json"
    words = ["trust", "pull", publisher.repository.as_uri(), "--root", str(root)]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'tuf>=6'" in " ".join(done.stderr.split())
