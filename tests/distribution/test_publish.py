# SPDX-License-Identifier: Apache-2.0
"""What a publisher signs, with which keys, and what he refuses to sign."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keras_integrity_hook.distribution import addresses, places, publishing, pulling
from keras_integrity_hook.distribution.publishing import Change
from keras_integrity_hook.distribution.subscriptions import Source
from keras_integrity_hook.errors import ConfigurationError, SigningError
from keras_integrity_hook.signing import trust_store
from tests.distribution.publisher import Publisher, entry, recalled
from tests.support.processes import cli, document, environment

ID = "ab" * 32


def snapshot(repository: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file()
    }


def split(publisher: Publisher) -> Change:
    """Root and targets by the publisher's key, the others by the key ``online``."""
    online = publisher.make_key("online")
    mine = [("root", publisher.public), ("targets", publisher.public)]
    return Change(admit=[*mine, ("snapshot", online), ("timestamp", online)])


def test_a_file_is_named_in_new_targets_and_nothing_else_is_signed_anew(
    publisher: Publisher,
) -> None:
    first = publisher.publish(entry("a", publisher.public))
    assert all(role.version == 1 and role.is_new for role in first.roles.values())
    second = publisher.publish(entry("a", publisher.public))
    assert [role for role, one in second.roles.items() if one.is_new] == ["timestamp"]
    third = publisher.publish(recalled(ID))
    assert [role for role, one in third.roles.items() if one.is_new] == [
        "targets",
        "snapshot",
        "timestamp",
    ]


def test_the_key_of_a_timer_renews_what_it_may(publisher: Publisher) -> None:
    keys = ("all", "online")
    publisher.publish(entry("a", publisher.public), keys=keys, change=split(publisher))
    done = publisher.publish(keys=("online",))
    assert {role: one.version for role, one in done.roles.items()} == {
        "root": 1,
        "targets": 1,
        "snapshot": 1,
        "timestamp": 2,
    }
    late = datetime.now(UTC) + timedelta(days=6)
    done = publisher.publish(keys=("online",), now=late)
    assert done.roles["snapshot"].version == 2
    with pytest.raises(SigningError, match="targets needs 1 of the keys"):
        publisher.publish(recalled(ID), keys=("online",))


def test_what_expires_soon_is_renewed_by_whoever_can(publisher: Publisher) -> None:
    publisher.publish(entry("a", publisher.public))
    late = datetime.now(UTC) + timedelta(days=200)
    done = publisher.publish(now=late)
    assert all(one.is_new for one in done.roles.values())
    assert done.roles["root"].version == 2


def test_days_are_as_the_publisher_says(publisher: Publisher) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    done = publisher.publish(entry("a", publisher.public), days={"timestamp": 1}, now=now)
    assert done.roles["timestamp"].expires == now + timedelta(days=1)
    assert done.roles["targets"].expires == now + timedelta(days=publishing.DAYS["targets"])


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_keys_of_each_kind_sign_and_are_believed(publisher: Publisher, kind: str) -> None:
    publisher.make_key("own", kind)
    publisher.publish(entry("a", publisher.public), keys=("own",))
    source = Source(addresses.checked_url(publisher.repository.as_uri()), publisher.root)
    pulling.pull(places.of_user(), source)
    assert [key.name for key in trust_store.store().keys] == ["a"]


def test_two_keys_have_to_sign_where_two_were_asked_for(publisher: Publisher) -> None:
    second = publisher.make_key("second")
    both = [(role, key) for role in publishing.ROLES for key in (publisher.public, second)]
    change = Change(admit=both, thresholds={"root": 2, "targets": 2})
    publisher.publish(entry("a", publisher.public), keys=("all", "second"), change=change)
    before = snapshot(publisher.repository)
    with pytest.raises(SigningError, match="targets needs 2 of the keys") as caught:
        publisher.publish(recalled(ID))
    assert "nothing was published" in caught.value.cause
    assert snapshot(publisher.repository) == before
    publisher.publish(recalled(ID), keys=("second", "all"))


def test_new_keys_of_the_root_need_the_old_ones(publisher: Publisher) -> None:
    publisher.publish(entry("a", publisher.public))
    thief = publisher.make_key("thief")
    everything = [(role, thief) for role in publishing.ROLES]
    with pytest.raises(SigningError, match="root needs 1 of the keys"):
        publisher.publish(keys=("thief",), change=Change(admit=everything))


@pytest.mark.parametrize(
    "change",
    [
        Change(thresholds={"targets": 2}),
        Change(thresholds={"targets": 0}),
        Change(dismiss=[("root", "")]),
        Change(dismiss=[("root", "0" * 64)]),
    ],
)
def test_a_role_that_nobody_could_sign_for_is_refused(publisher: Publisher, change: Change) -> None:
    publisher.publish(entry("a", publisher.public))
    before = snapshot(publisher.repository)
    with pytest.raises(ConfigurationError):
        publisher.publish(change=change)
    assert snapshot(publisher.repository) == before


def test_the_last_key_of_a_role_is_not_dismissed(publisher: Publisher) -> None:
    publisher.publish(entry("a", publisher.public))
    change = Change(dismiss=[("targets", publisher.public.keyid)])
    with pytest.raises(ConfigurationError, match="targets would have 0 keys"):
        publisher.publish(change=change)


@pytest.mark.parametrize(
    "files",
    [
        ("[[kees]]\n", None),
        ('[[revoked_keys]]\nkeyid = "x"\n', None),
        (None, 'mode = "enforec"\n'),
        (None, "\0"),
        ("#" * 2_000_000, None),
    ],
)
def test_a_file_with_a_mistake_is_not_published(
    publisher: Publisher, files: tuple[str | None, str | None]
) -> None:
    with pytest.raises(ConfigurationError):
        publisher.publish(*files)
    assert not publisher.repository.exists()


def test_a_key_that_is_not_the_one_of_its_id_is_not_published(publisher: Publisher) -> None:
    other = publisher.make_key("other")
    with pytest.raises(ConfigurationError, match="does not belong"):
        publisher.publish(entry("a", publisher.public._replace(keyid=other.keyid)))


@pytest.mark.parametrize(
    "name", ["1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"]
)
@pytest.mark.parametrize("how", ["changed", "broken", "gone"])
def test_what_somebody_else_wrote_is_not_signed_again(
    publisher: Publisher, name: str, how: str
) -> None:
    publisher.publish(entry("a", publisher.public))
    path = publisher.repository / "metadata" / name
    if how == "changed":
        metadata = json.loads(path.read_text())
        metadata["signed"]["expires"] = "2100-01-01T00:00:00Z"
        path.write_text(json.dumps(metadata))
    elif how == "broken":
        path.write_bytes(b"{")
    elif name == "1.root.json":
        pytest.skip("without a root there is no repository, and a new one begins")
    else:
        path.unlink()
    with pytest.raises(SigningError, match="not what its keys signed"):
        publisher.publish(recalled(ID))


def test_a_stolen_server_cannot_let_a_publisher_sign_its_files(
    publisher: Publisher, tmp_path: Path
) -> None:
    """Its own targets, under the publisher's root, for the publisher to renew."""
    publisher.publish(entry("a", publisher.public))
    thief = Publisher(tmp_path / "thief")
    thief.publish(entry("thief", thief.public))
    for name in ("1.targets.json", "1.snapshot.json", "timestamp.json"):
        shutil.copy(thief.repository / "metadata" / name, publisher.repository / "metadata" / name)
    with pytest.raises(SigningError, match="not what its keys signed"):
        publisher.publish(now=datetime.now(UTC) + timedelta(days=200))


def test_killed_at_any_moment_machines_see_one_state_or_the_other(
    publisher: Publisher, tmp_path: Path
) -> None:
    publisher.publish(entry("a", publisher.public))
    source = Source(addresses.checked_url(publisher.repository.as_uri()), publisher.root)
    pulling.pull(places.of_user(), source)
    trust = tmp_path / "trust.toml"
    command = [sys.executable, "-c", _PUBLISH_FOR_EVER, str(publisher.repository)]
    command += [str(trust), str(publisher.home / "all")]
    for number in range(8):
        trust.write_text(entry(f"a{number}", publisher.public))
        child = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.003 * number)
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        pulling.pull(places.of_user())
        (key,) = trust_store.store().keys
        assert key.keyid == publisher.public.keyid
    publisher.publish(recalled(ID))
    pulling.pull(places.of_user())
    assert trust_store.store().revoked_models


_PUBLISH_FOR_EVER = """
import sys
from keras_integrity_hook.distribution import publishing
directory, trust, key = sys.argv[1:]
text = open(trust, "rb").read()
print("ready", flush=True)
for number in range(10_000):
    publishing.publish(directory, {"trust.toml": text + b"# %d" % number}, [key])
"""


def test_publish_as_a_command(tmp_path: Path, home: Path) -> None:
    for name in ("root", "online", "next"):
        assert cli("keygen", "--no-passphrase", tmp_path / name).returncode == 0
    trust, repository = tmp_path / "trust.toml", tmp_path / "repository"
    cli("trust", "add", "release", tmp_path / "root.pub", "--file", trust)
    roles = ["--admit", f"root={tmp_path}/root.pub", "--admit", f"targets={tmp_path}/root.pub"]
    roles += ["--admit", f"online={tmp_path}/online.pub", "--days", "online=2"]
    keys = ["--key", str(tmp_path / "root"), "--key", str(tmp_path / "online")]
    done = cli("trust", "publish", repository, "--trust", trust, *roles, *keys)
    assert done.returncode == 0, done.stderr
    assert f"Machines begin with {repository}/metadata/1.root.json" in done.stdout
    told = document(cli("trust", "publish", repository, "--key", tmp_path / "online", "--json"))
    assert told["roles"]["timestamp"]["changed"] is True
    assert told["roles"]["root"]["changed"] is False
    assert told["files"] == ["trust.toml"]
    more = ["--admit", f"targets={tmp_path}/next.pub", "--key", str(tmp_path / "next")]
    told = document(cli("trust", "publish", repository, *keys, *more, "--json"))
    assert told["roles"]["root"]["version"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--admit", "boss=x.pub"), "not ROLE="),
        (("--admit", "root"), "not ROLE="),
        (("--days", "root=0"), "not a number from 1"),
        (("--threshold", "root=many"), "not a number from 1"),
        (("--days", "root=²"), "not a number from 1"),
        (("--key", "missing"), "cannot be opened"),
        ((), "root would have 0 keys"),
    ],
)
def test_what_a_command_cannot_mean_is_refused(
    tmp_path: Path, home: Path, options: tuple[str, ...], said: str
) -> None:
    done = cli("trust", "publish", tmp_path / "repository", *options)
    assert done.returncode in (1, 2)
    assert said in " ".join(done.stderr.split())
    assert not list(tmp_path.rglob("*.json"))
