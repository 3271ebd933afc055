# SPDX-License-Identifier: Apache-2.0
"""The audit log and its listeners: real files, real processes, and what goes wrong with them."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import audit, errors
from keras_integrity_hook.audit import listeners, log_file
from keras_integrity_hook.downloads.rules import Download
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.saving import pipeline as save
from keras_integrity_hook.signing import private
from tests.support.attacks import point_elsewhere
from tests.support.model_kinds import needs
from tests.support.models import write_model
from tests.support.processes import ARM, environment

Run = Callable[..., subprocess.CompletedProcess[str]]

FORGERY = '\n{"schema":1,"event":"load","outcome":"ok"}'


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(path))
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


def events(log: Path) -> list[dict[str, Any]]:
    data = log.read_bytes()
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data[:-1].split(b"\n")]


def run(script: str, *arguments: object, path: str = "", **extra: str) -> Any:
    """Run a script in a process of its own; what it prints last, from JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment(*([path] if path else []), **extra),
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.strip().splitlines()
    return json.loads(printed[-1]) if printed else None


# What is recorded


def test_keras_save_leaves_one_line(keras: Any, models: Path, log: Path) -> None:
    path = models / "m.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    (event,) = events(log)
    seal = kih.inspect(path).seal
    assert seal is not None
    assert event["facts"] == {
        "container": "keras-zip",
        "algorithm": "sha256",
        "root": seal.root,
        "size": seal.size,
    }
    assert (event["schema"], event["event"], event["outcome"]) == (1, "save", "ok")
    assert event["path"] == str(path)
    assert event["pid"] == os.getpid()
    assert event["uid"] == os.geteuid()
    assert event["host"] == socket.gethostname()
    assert event["executable"] == sys.executable
    assert event["hook"] == kih.__version__
    assert time.time() - _seconds(event["time"]) < 60


def _seconds(text: str) -> float:
    from datetime import datetime

    assert text[-1] == "Z"
    assert len(text) == len("2026-01-01T00:00:00.000000Z")
    return datetime.fromisoformat(text).timestamp()


def test_weights_and_directories_are_recorded(keras: Any, models: Path, log: Path) -> None:
    needs(keras, (3, 6), "models as directories")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save_weights(models / "m.weights.h5")
    model.save(models / "folder", zipped=False)
    said = [(one["event"], one["outcome"], one["facts"]["container"]) for one in events(log)]
    assert said == [("save", "ok", "hdf5"), ("save", "ok", "keras-directory")]
    assert events(log)[1]["path"] == str(models / "folder")


def test_failed_save_is_recorded_and_raises_as_ever(models: Path, log: Path) -> None:
    def write(where: str) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        save.save_sealed(str(models / "m.keras"), write)
    (event,) = events(log)
    assert (event["event"], event["outcome"]) == ("save", "failed")
    assert event["facts"]["error"]["code"] == "OSError"


def test_save_that_cannot_be_sealed_says_why(models: Path, log: Path) -> None:
    save.save_sealed(str(models / "m.keras"), lambda where: Path(where).write_text("text"))
    (event,) = events(log)
    assert (event["event"], event["outcome"]) == ("save", "unsealed")
    assert event["facts"]["error"]["code"] == "not-a-model"


def test_save_that_could_not_be_signed_is_recorded_as_such(
    models: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_model(models, "m.keras")
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(models / "no-key"))
    with pytest.warns(errors.IntegrityWarning, match="not signed"):
        save.save_sealed(str(models / "new.keras"), lambda where: shutil.copy(model, where))
    signing, saved = events(log)
    assert (signing["event"], signing["outcome"]) == ("sign", "failed")
    assert signing["facts"]["error"]["code"] == "signing-failed"
    assert (saved["event"], saved["outcome"]) == ("save", "ok")


def test_seal_and_unseal_are_recorded(models: Path, log: Path) -> None:
    path = write_model(models, "m.weights.h5")
    kih.seal(path)
    kih.unseal(path)
    first, second = events(log)
    assert (first["event"], second["event"]) == ("seal", "unseal")
    assert first["facts"] == second["facts"]
    assert first["facts"]["root"]


def test_reseal_is_recorded_with_its_reason(models: Path, log: Path) -> None:
    path = write_model(models, "m.weights.h5")
    first = kih.seal(path).seal
    assert first is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    kih.reseal(path, reason="a changed constant")
    event = events(log)[-1]
    assert event["event"] == "reseal"
    assert event["facts"]["resealed"] == "a changed constant"
    assert event["facts"]["previous_root"] == first.root != event["facts"]["root"]


def test_signature_is_recorded_with_its_key_and_without_the_secret(
    tmp_path: Path, models: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key.pem"
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("hunter2")
    passphrase.chmod(0o600)
    monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE_FILE", str(passphrase))
    private.write_pair(str(key), "ed25519", "hunter2")
    path = write_model(models, "m.keras")
    kih.seal(path)
    kih.sign(path, key=str(key))
    event = events(log)[-1]
    assert (event["event"], event["outcome"]) == ("sign", "ok")
    assert len(event["facts"]["keyid"]) == 64
    assert event["facts"]["root"] == events(log)[0]["facts"]["root"]
    assert b"hunter2" not in log.read_bytes()
    assert b"PRIVATE" not in log.read_bytes()


def test_load_and_refusal_leave_one_line_each(keras: Any, models: Path, log: Path) -> None:
    path = models / "m.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)
    keras.models.load_model(path)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.IntegrityError):
        keras.models.load_model(path)
    saved, loaded, refused = events(log)
    assert (loaded["event"], loaded["outcome"]) == ("load", "ok")
    assert loaded["facts"]["root"] == saved["facts"]["root"]
    assert loaded["facts"]["assurance"]
    assert (refused["event"], refused["outcome"], refused["path"]) == (
        "refusal",
        "refused",
        str(path),
    )


def test_refusal_after_the_check_leaves_one_line_behind_that_of_the_load(
    keras: Any, models: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signed file may still point elsewhere, and one may be written over while it is read."""
    monkeypatch.setenv("KERAS_INTEGRITY_INSPECTION", "off")
    path = models / "m.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")]).save(path)
    kih.unseal(path)
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    weights = models / "inside.h5"
    weights.write_bytes(found["model.weights.h5"])
    point_elsewhere(weights, models / "elsewhere.h5", "external link")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**found, "model.weights.h5": weights.read_bytes()}.items():
            archive.writestr(name, data)
    kih.seal(path)
    log.unlink()
    with pytest.raises(kih.ExternalReferenceError) as caught:
        keras.models.load_model(path)
    assert caught.value.path == str(path)
    told = [(event["event"], event["outcome"], event["path"]) for event in events(log)]
    assert told == [("load", "ok", str(path)), ("refusal", "refused", str(path))]
    assert events(log)[1]["facts"]["error"]["code"] == "external-reference"


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_load_that_cannot_be_recorded_hands_nothing_out_where_that_is_required(
    keras: Any, models: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    path = models / name
    model.save_weights(path) if name.endswith(".h5") else model.save(path)
    before = [weights + 1 for weights in model.get_weights()]
    model.set_weights(before)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", "/dev/full")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    for mode in ("enforce", "warn"):
        monkeypatch.setenv("KERAS_INTEGRITY", mode)
        with pytest.raises(kih.AuditError):
            model.load_weights(path) if name.endswith(".h5") else keras.models.load_model(path)
    kept = zip(model.get_weights(), before, strict=True)
    assert all((one == other).all() for one, other in kept)


def test_override_and_fallback_are_recorded(
    keras: Any, models: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    path, good = models / "m.keras", models / "good.keras"
    model.save(path)
    model.save(good)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    digest = kih.inspect(path, digest=True).digest
    assert digest is not None
    with kih.override(root=digest, reason="INC-42"), pytest.warns(kih.OverrideWarning):
        kih.verify(path)
    monkeypatch.setenv("KERAS_INTEGRITY_ON_FAILURE", "fallback")
    monkeypatch.setenv("KERAS_INTEGRITY_FALLBACK", str(good))
    with pytest.warns(kih.FallbackWarning):
        keras.models.load_model(path)
    told = {one["event"]: one for one in events(log)}
    assert [one["event"] for one in events(log)[-3:]] == ["refusal", "load", "fallback"]
    over, fallback = told["override"], told["fallback"]
    assert over["outcome"] == "overridden"
    assert over["facts"]["digest"] == digest
    assert over["facts"]["reason"] == "INC-42"
    assert over["facts"]["error"]["code"] == fallback["facts"]["error"]["code"]
    assert (fallback["path"], fallback["facts"]["fallback"]) == (str(path), str(good))


@pytest.mark.filterwarnings("ignore::keras_integrity_hook.errors.IntegrityWarning")
def test_override_that_cannot_be_recorded_does_not_happen_where_that_is_required(
    models: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(models, "m.keras")
    digest = kih.inspect(path, digest=True).digest
    assert digest is not None
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    with kih.override(root=digest, reason="INC-42"):
        assert kih.verify(path).state == "overridden"
        monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", "/dev/full")
        with pytest.raises(kih.AuditError):
            kih.verify(path)


def test_downloads_are_recorded_without_their_secrets(log: Path) -> None:
    url = "https://user:hunter2@example.org/m.keras?token=hunter2#hunter2"
    Download("m.keras", has_hash=True).follow(url, encrypted=True)
    with pytest.raises(errors.InsecureDownloadError):
        Download("m.keras", has_hash=True).follow(url.replace("https", "http"), encrypted=False)
    good, bad = events(log)
    assert (good["outcome"], good["path"]) == ("ok", "https://example.org/m.keras")
    assert good["facts"] == {"has_hash": True}
    assert bad["outcome"] == "refused"
    assert bad["facts"]["error"]["code"] == "insecure-download"
    assert b"hunter2" not in log.read_bytes()


def test_opt_out_is_recorded_once_in_a_process(log: Path) -> None:
    script = ARM + "import keras, keras.src.saving"
    run(script, KERAS_INTEGRITY="off", KERAS_INTEGRITY_AUDIT_LOG=str(log))
    (event,) = events(log)
    assert (event["event"], event["outcome"], event["path"]) == ("opt-out", "off", None)
    assert "KERAS_INTEGRITY" in event["facts"]["why"]


UNDER_POLICY = """
set -e
cp -a /etc "$1"
mount --bind "$1/etc" /etc
rm -rf /etc/keras-integrity
mkdir -m 755 /etc/keras-integrity
printf '%s' "$2" > /etc/keras-integrity/policy.toml
chmod 644 /etc/keras-integrity/policy.toml
exec "$3" -c "$4"
"""

Locked = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def under_machine_policy(tmp_path: Path) -> Locked:
    """Runs a script where /etc holds this policy, in a mount namespace of its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")

    def run_locked(policy: str, script: str, **extra: str) -> subprocess.CompletedProcess[str]:
        ground = tmp_path / "ground"
        ground.mkdir()
        return subprocess.run(
            [
                "unshare",
                "-m",
                "sh",
                "-c",
                UNDER_POLICY,
                "sh",
                ground,
                policy,
                sys.executable,
                script,
            ],
            env=environment(**extra),
            check=False,
            capture_output=True,
            text=True,
        )

    return run_locked


def test_opt_out_against_a_locked_policy_is_refused_and_recorded(
    under_machine_policy: Locked, tmp_path: Path, log: Path
) -> None:
    mine = str(tmp_path / "mine")
    policy = f'mode = "enforce"\naudit_log = "{log}"\nlock = ["mode", "audit_log"]\n'
    script = ARM + "import keras, keras_integrity_hook; keras_integrity_hook.assert_active()"
    done = under_machine_policy(
        policy, script, KERAS_INTEGRITY="off", KERAS_INTEGRITY_AUDIT_LOG=mine
    )
    assert done.returncode == 0, done.stderr
    (event,) = events(log)
    assert (event["event"], event["outcome"]) == ("opt-out", "refused")
    assert not os.path.exists(mine)


TWICE = """
import os, sys
from keras_integrity_hook import audit, errors
audit.record("load", "first", outcome="ok")
log = os.environ["LOG"]
os.rename(log, log + ".kept")
os.mkdir(log)
try:
    audit.record("load", "second", outcome="ok")
except errors.AuditError:
    print("refused")
"""


def test_mistake_in_a_variable_does_not_switch_a_locked_log_off(
    under_machine_policy: Locked, log: Path
) -> None:
    lock = 'lock = ["audit_log", "audit_required"]'
    policy = f'audit_log = "{log}"\naudit_required = true\n{lock}\n'
    done = under_machine_policy(policy, TWICE, KERAS_INTEGRITY_MISSPELT="1", LOG=str(log))
    assert done.stdout == "refused\n", done.stderr
    assert [event["path"] for event in events(Path(f"{log}.kept"))] == ["first"]


LATE = """
from keras_integrity_hook.activation import finder
finder.disarm()
import keras, keras_integrity_hook
keras_integrity_hook.activate()
keras_integrity_hook.activate()
keras_integrity_hook.deactivate()
keras_integrity_hook.deactivate()
"""


def test_late_activation_and_deactivation_are_recorded(log: Path) -> None:
    run(LATE, KERAS_INTEGRITY_AUDIT_LOG=str(log))
    late, off = events(log)
    assert (late["event"], late["outcome"]) == ("late-activation", "ok")
    assert any("saving_api.load_model" in name for name in late["facts"]["targets"])
    assert (off["event"], off["facts"]["why"]) == ("opt-out", "deactivate() was called")


# The line


@pytest.mark.parametrize(
    "evil",
    [
        FORGERY,
        "\r\x1b[2K\x1b]0;x\x07",
        "\u202egpj.sarek",
        "\u2028\u0085",
        "\udcff\udcfe",
        "\\n",
        '"',
    ],
)
def test_file_name_cannot_forge_a_line(models: Path, log: Path, evil: str) -> None:
    path = models / (evil.replace("/", "") + ".keras")
    shutil.copy(write_model(models, "m.keras"), path)
    kih.seal(path)
    text = log.read_bytes().decode()  # strict: no lone surrogates
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    (event,) = events(log)
    assert event["event"] == "seal"
    assert event["path"] == str(models / errors.printable(path.name))
    assert event["path"].isprintable()


def test_line_has_a_cap_whatever_the_facts(log: Path) -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    deep: Any = "bottom"
    for _ in range(1000):
        deep = [deep]
    huge = {f"k{n}": "\x00" * 10_000 for n in range(1000)}
    audit.record(
        "load",
        "\\" * 1_000_000,
        outcome="ok",
        assurance="verified",
        rude=Rude(),
        number=10**5000,
        infinite=float("inf"),
        raw=b"\xff\n",
        deep=deep,
        huge=huge,
        lists=[["\u202e" * 5000] * 5000] * 5000,
        late="there was no room left",
    )
    (event,) = events(log)
    assert len(log.read_bytes()) <= LIMITS.audit_line
    assert event["path"] == "\\" * LIMITS.audit_path + "…"
    assert event["facts"]["assurance"] == "verified"
    assert event["facts"]["rude"] == "(Rude)"
    assert event["facts"]["infinite"] == "inf"
    assert event["facts"]["huge"] == event["facts"]["late"] == "…"
    assert event["facts"]["number"].startswith("0x")


def test_error_is_written_with_its_evidence(log: Path) -> None:
    error = errors.ChecksumMismatchError(
        "it does not match",
        path="m.keras",
        container="hdf5",
        damaged=(errors.DamagedRange(0, 7), errors.DamagedRange(9, 12)),
        parts=("layers/dense/vars/0",),
    )
    audit.record("refusal", "m.keras", outcome="refused", error=error)
    assert events(log)[0]["facts"]["error"] == json.loads(json.dumps(error.to_dict()))


# The file


WRITE_MANY = """
import sys, threading
from keras_integrity_hook import audit
name, count = sys.argv[1], int(sys.argv[2])
def work(thread):
    for number in range(count):
        audit.record("load", f"{name}-{thread}-{number}", outcome="ok", padding="x" * number)
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def test_lines_of_many_processes_and_threads_stay_whole(log: Path) -> None:
    env = environment(KERAS_INTEGRITY_AUDIT_LOG=str(log))
    command = [sys.executable, "-c", WRITE_MANY]
    writers = [subprocess.Popen([*command, name, "400"], env=env) for name in "ab"]
    assert [one.wait(100) for one in writers] == [0, 0]
    paths = [event["path"] for event in events(log)]
    assert len(paths) == 2 * 4 * 400
    assert set(paths) == {f"{p}-{t}-{n}" for p in "ab" for t in range(4) for n in range(400)}


ROTATE_MANY = """
import sys
from concurrent.futures import ThreadPoolExecutor
from keras_integrity_hook.audit import log_file
path, name = sys.argv[1:]
def work(number):
    log_file.append(path, f"{name}-{number}-{'x' * 50}\\n".encode(), limit=5000, kept=200)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(work, range(2000)))
"""


def test_rotation_by_many_processes_loses_no_line(log: Path) -> None:
    command = [sys.executable, "-c", ROTATE_MANY, str(log)]
    writers = [subprocess.Popen([*command, name], env=environment()) for name in "ab"]
    assert [one.wait(100) for one in writers] == [0, 0]
    files = sorted(log.parent.iterdir())
    assert len(files) > 20
    lines = "".join(one.read_text() for one in files).splitlines()
    assert len(lines) == 4000
    assert set(lines) == {f"{name}-{n}-{'x' * 50}" for name in "ab" for n in range(2000)}
    # A writer that met a long-held lock may go over the limit, no file grows without end.
    assert max(one.stat().st_size for one in files) < 20_000


def test_rotation_keeps_the_newest_files(log: Path) -> None:
    for number in range(12):
        log_file.append(str(log), f"{number}\n".encode() * 40, limit=100, kept=3)
    newest = [log, *(Path(f"{log}.{n}") for n in (1, 2, 3))]
    assert [one.read_text().split()[0] for one in newest] == ["11", "10", "9", "8"]
    assert sorted(log.parent.iterdir()) == sorted(newest)
    assert {stat.S_IMODE(one.stat().st_mode) for one in newest} == {0o600}


def test_events_rotate_at_the_documented_size(log: Path) -> None:
    log.write_bytes(b"x" * (10 * MIB - 1) + b"\n")
    log.chmod(0o600)
    audit.record("load", "m.keras", outcome="ok")
    assert len(events(log)) == 1
    assert Path(f"{log}.1").stat().st_size == 10 * MIB


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_log_that_others_write_is_not_moved_away_from_them(log: Path, mode: int) -> None:
    log.write_bytes(b"x" * 99 + b"\n")
    log.chmod(mode)
    log_file.append(str(log), b"y\n", limit=50, kept=2)
    assert log.read_bytes().endswith(b"y\n")
    assert os.listdir(log.parent) == [log.name]


def test_log_is_private_and_is_begun_anew_after_it_was_moved(log: Path) -> None:
    old = os.umask(0)
    try:
        audit.record("load", "first", outcome="ok")
    finally:
        os.umask(old)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    log.rename(log.with_suffix(".old"))
    audit.record("load", "second", outcome="ok")
    assert [event["path"] for event in events(log)] == ["second"]


def test_symbolic_link_in_place_of_the_log_is_not_followed(
    log: Path, tmp_path: Path, models: Path
) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    log.symlink_to(target)
    path = write_model(models, "m.keras")
    assert kih.seal(path).state == "sealed"
    assert target.read_text() == "precious"


def test_half_a_line_is_taken_back_when_the_disk_is_full(log: Path) -> None:
    script = (
        "import resource, sys; from keras_integrity_hook.audit import log_file\n"
        "log_file.append(sys.argv[1], b'first\\n', limit=10**6, kept=1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))\n"
        "try: log_file.append(sys.argv[1], b'x' * 99 + b'\\n', limit=10**6, kept=1)\n"
        "except OSError: print('true')\n"
    )
    assert run(script, log) is True
    assert log.read_bytes() == b"first\n"


def test_lock_held_by_a_stopped_process_does_not_stop_us(log: Path, models: Path) -> None:
    audit.record("load", "first", outcome="ok")
    holder = os.open(log, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        kih.seal(write_model(models, "m.keras"))  # or never returns
    finally:
        os.close(holder)
    assert [event["event"] for event in events(log)] == ["load", "seal"]


def test_log_removed_while_a_line_is_written_is_begun_anew(log: Path) -> None:
    log.touch()
    holder = os.open(log, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    writer = threading.Thread(
        target=log_file.append, args=(str(log), b"kept\n"), kwargs={"limit": 100, "kept": 1}
    )
    writer.start()
    time.sleep(0.05)  # it has the old file open, and waits for the lock
    log.unlink()
    os.close(holder)
    writer.join()
    assert log.read_bytes() == b"kept\n"


AT_EXIT = """
import atexit
from keras_integrity_hook import audit
atexit.register(lambda: audit.record("save", "at exit", outcome="ok"))
"""


def test_event_while_the_interpreter_ends_is_recorded(log: Path) -> None:
    run(AT_EXIT, KERAS_INTEGRITY_AUDIT_LOG=str(log))
    assert [event["path"] for event in events(log)] == ["at exit"]


FORK = """
import os
from keras_integrity_hook import audit
audit.record("load", "parent", outcome="ok")
child = os.fork()
audit.record("load", "both", outcome="ok")
if child:
    os.waitpid(child, 0)
"""


def test_forked_child_records_under_its_own_pid(log: Path) -> None:
    run(FORK, KERAS_INTEGRITY_AUDIT_LOG=str(log))
    first, *both = events(log)
    assert [event["path"] for event in both] == ["both", "both"]
    pids = {event["pid"] for event in both}
    assert len(pids) == 2
    assert first["pid"] in pids


# A log that cannot be written


def unwritable(kind: str, log: Path) -> str:
    if kind == "full":
        return "/dev/full"
    if kind == "directory":
        log.mkdir()
    if kind == "fifo":
        os.mkfifo(log)
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(log))
    if kind == "link":
        log.symlink_to(log.parent / "elsewhere")
    return f"{log.parent}/missing/audit.jsonl" if kind == "missing" else str(log)


KINDS = ("full", "fifo", "directory", "missing", "socket", "link")


@pytest.mark.parametrize("kind", KINDS)
def test_log_that_cannot_be_written_does_not_fail_or_block_a_save(
    keras: Any,
    models: Path,
    log: Path,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    where = unwritable(kind, log)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", where)
    monkeypatch.setattr("keras_integrity_hook.notices._seen", {})
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    for name in ("a.keras", "b.keras"):
        model.save(models / name)
        assert kih.verify(models / name).state == "sealed"
    told = [r.getMessage() for r in caplog.records if "not recorded" in r.getMessage()]
    assert len(told) == 1, told
    assert where in told[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5"])
def test_save_that_cannot_be_recorded_does_not_happen_where_that_is_required(
    keras: Any, models: Path, log: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    write = model.save_weights if name.endswith(".h5") else model.save
    path = models / name
    write(path)
    before = path.read_bytes()
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", unwritable(kind, _removed(log)))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    model.set_weights([weights + 1 for weights in model.get_weights()])
    with pytest.raises(kih.AuditError, match="could not be recorded"):
        write(path)
    assert path.read_bytes() == before
    assert os.listdir(models) == [name]


def _removed(log: Path) -> Path:
    log.unlink()
    return log


def test_required_record_needs_a_log(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    path = write_model(models, "m.keras")
    before = path.read_bytes()
    with pytest.raises(kih.AuditError, match="audit_log is not"):
        kih.seal(path)
    assert path.read_bytes() == before


def test_set_whose_seal_cannot_be_recorded_has_none(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("metadata.json", "config.json"):
        (models / name).write_text("{}")
    write_model(models, "model.weights.h5")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", "/dev/full")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    with pytest.raises(kih.AuditError):
        kih.seal(models)
    assert kih.inspect(models).state == "unsealed"


@pytest.mark.parametrize("outcome", ["refused", "failed"])
def test_refusal_is_not_masked_by_a_full_disk(
    outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", "/dev/full")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    audit.record("refusal", "m.keras", outcome=outcome)


def record_often(times: int) -> None:
    for _ in range(times):
        audit.record("load", "m.keras", outcome="ok")


def test_full_fifo_does_not_block(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    try:
        audit.record("load", "m.keras", outcome="ok")
        assert json.loads(os.read(reader, 65536))["path"] == "m.keras"
        with pytest.raises(kih.AuditError):
            record_often(1000)
    finally:
        os.close(reader)


# syslog


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        listening.settimeout(100)
        yield listening


def test_syslog_gets_the_same_line(
    daemon: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", f"syslog:{tmp_path / 'log'}")
    audit.record("refusal", f"m{FORGERY}.keras", outcome="refused")
    head, _, text = daemon.recv(65536).decode().partition(": ")
    assert head == f"<83>keras-integrity[{os.getpid()}]"  # authpriv.err
    assert "\n" not in text
    assert json.loads(text)["outcome"] == "refused"


def test_syslog_without_a_daemon_and_with_a_slow_one(
    daemon: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", f"syslog:{tmp_path / 'nobody'}")
    with pytest.raises(kih.AuditError):
        audit.record("load", "m.keras", outcome="ok")
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", f"syslog:{tmp_path / 'log'}")
    with pytest.raises(kih.AuditError):
        record_often(10_000)


# Listeners


LISTENER = """
import json, os, sys, threading, time
def hear(event):
    with open(os.environ["HEARD"], "a") as file:
        print(json.dumps(event), file=file)
    event["facts"].clear()
def second(event):
    hear(event)
def raises(event):
    raise ValueError("a bug in a listener")
def leaves(event):
    sys.exit(3)
def hangs(event):
    with open(os.environ["HEARD"] + ".hung", "a") as file:
        print(file=file)
    time.sleep(1000)
def loads_models(event):
    from keras_integrity_hook import audit
    audit.record("load", "from a listener", outcome="ok")
"""

SEAL = """
import logging, sys
logging.basicConfig(level="WARNING")
import keras_integrity_hook as kih
for path in sys.argv[1:]:
    kih.seal(path)
"""


@pytest.fixture
def installed(tmp_path: Path) -> Callable[..., str]:
    """A distribution that brings listeners, in a directory of its own."""

    def install(*entries: str) -> str:
        site = tmp_path / "site"
        info = site / "alarm-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "alarm.py").write_text(LISTENER)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: alarm\nVersion: 1.0\n")
        points = "".join(f"n{n} = {entry}\n" for n, entry in enumerate(entries))
        (info / "entry_points.txt").write_text(f"[{listeners.GROUP}]\n{points}")
        return str(site)

    return install


def test_listener_of_another_distribution_hears_every_event(
    installed: Callable[..., str], tmp_path: Path, models: Path, log: Path
) -> None:
    path = write_model(models, "m.keras")
    site = installed("alarm:hear", "alarm:second")
    heard = tmp_path / "heard"
    run(SEAL, path, path=site, HEARD=str(heard), KERAS_INTEGRITY_AUDIT_LOG=str(log))
    # Each got a copy of its own: the first one empties the facts of its.
    assert events(heard) == [*events(log), *events(log)]
    assert events(log)[0]["facts"]["root"]


def test_listener_of_an_older_copy_of_its_distribution_does_not_hear(
    installed: Callable[..., str], tmp_path: Path, models: Path
) -> None:
    older = installed("alarm:hear")
    newer = tmp_path / "newer/alarm-2.0.dist-info"
    newer.mkdir(parents=True)
    (newer / "METADATA").write_text("Metadata-Version: 2.1\nName: alarm\nVersion: 2.0\n")
    path = write_model(models, "m.keras")
    heard = tmp_path / "heard"
    run(SEAL, path, path=f"{newer.parent}{os.pathsep}{older}", HEARD=str(heard))
    assert not heard.exists()
    path = write_model(models, "m.keras")
    run(SEAL, path, path=f"{older}{os.pathsep}{newer.parent}", HEARD=str(heard))
    assert len(events(heard)) == 1


@pytest.mark.parametrize("bad", ["raises", "leaves", "nowhere", "hangs"])
def test_bad_listener_fails_no_save_and_keeps_no_other_from_hearing(
    installed: Callable[..., str], tmp_path: Path, models: Path, bad: str
) -> None:
    paths = [write_model(models, name) for name in ("a.keras", "b.keras", "c.keras")]
    site = installed(f"alarm:{bad}", "alarm:hear")
    heard = tmp_path / "heard"
    done = subprocess.run(
        [sys.executable, "-c", SEAL, *paths],
        env=environment(site, HEARD=str(heard)),
        capture_output=True,
        check=False,
        text=True,
        timeout=250,  # one that hangs does not keep the process
    )
    assert done.returncode == 0, done.stderr
    assert [event["event"] for event in events(heard)] == ["seal"] * 3
    assert f"alarm:{bad}" in done.stderr
    if bad == "hangs":  # only the first save waited for it
        assert Path(f"{heard}.hung").read_text() == "\n"


def test_listener_that_causes_events_is_not_called_for_ever(
    installed: Callable[..., str], models: Path, log: Path
) -> None:
    site = installed("alarm:loads_models")
    run(SEAL, write_model(models, "m.keras"), path=site, KERAS_INTEGRITY_AUDIT_LOG=str(log))
    assert [event["event"] for event in events(log)] == ["seal", "load"]


def test_nothing_heavy_is_imported_where_nobody_listens(models: Path) -> None:
    script = (
        "import json, sys, keras_integrity_hook as kih\n"
        "kih.seal(sys.argv[1])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = run(script, write_model(models, "m.keras"))
    assert loaded is not None
    assert "keras_integrity_hook.audit" in loaded
    absent = {
        "keras_integrity_hook.audit.event",
        "keras_integrity_hook.audit.log_file",
        "opentelemetry",
    }
    assert not absent & set(loaded)


# logging, for people


@pytest.mark.parametrize(
    ("event", "outcome", "facts", "level", "text"),
    [
        ("load", "ok", {"assurance": "verified"}, "INFO", "load m.keras: verified"),
        ("save", "ok", {}, "INFO", "save m.keras: sealed"),
        ("save", "unsealed", {"why": "no"}, "WARNING", "save m.keras: not sealed: no"),
        ("refusal", "refused", {"error": 1}, "ERROR", "refused: {error}"),
        ("load", "warned", {"error": 1}, "WARNING", "loaded in spite of: {error}"),
        ("download", "warned", {"error": 1}, "WARNING", "downloaded in spite of: {error}"),
        ("save", "unsealed", {"error": 1}, "WARNING", "save m.keras: not sealed: {error}"),
        ("seal", "ok", {}, "INFO", "seal m.keras: ok"),
        ("fallback", "ok", {"why": "b for a", "error": 1}, "WARNING", "fallback: b for a"),
        ("override", "overridden", {"why": "no"}, "WARNING", "overridden m.keras: no"),
    ],
)
def test_log_lines_for_people(
    event: str,
    outcome: str,
    facts: dict[str, Any],
    level: str,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = errors.ChecksumMismatchError("the content does not match", path="m\n.keras")
    if "error" in facts:
        facts = {**facts, "error": error}
    with caplog.at_level(logging.INFO, "keras_integrity_hook"):
        audit.record(event, "m.keras", outcome=outcome, **facts)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        level,
        text.format(error=error.in_one_line()),
    )


def test_logging_filter_of_the_program_cannot_fail_a_save(models: Path) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise ValueError

    logger = logging.getLogger("keras_integrity_hook")
    old = logger.level
    logger.addFilter(broken)
    logger.setLevel(logging.INFO)
    try:
        assert kih.seal(write_model(models, "m.keras")).state == "sealed"
    finally:
        logger.removeFilter(broken)
        logger.setLevel(old)


# OpenTelemetry


TELEMETRY = """
import json, sys
from opentelemetry import _logs, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as InMemoryLogs
except ImportError:
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogs
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import keras_integrity_hook as kih
from keras_integrity_hook import audit, errors

spans, logs = InMemorySpanExporter(), InMemoryLogs()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
logging = LoggerProvider()
logging.add_log_record_processor(SimpleLogRecordProcessor(logs))
_logs.set_logger_provider(logging)
with provider.get_tracer("program").start_as_current_span("training"):
    kih.seal(sys.argv[1])
    error = errors.UnsealedModelError("no seal", path="m.keras")
    audit.record("refusal", "m.keras", outcome="refused", error=error, signers=("a", "b"))
kih.unseal(sys.argv[1])
(span,) = spans.get_finished_spans()
records = [one.log_record for one in logs.get_finished_logs()]
print(json.dumps({
    "span": [(event.name, dict(event.attributes)) for event in span.events],
    "logs": [(r.severity_number.value, r.body, dict(r.attributes), r.trace_id) for r in records],
}))
"""


def test_opentelemetry_gets_events_in_the_span_and_in_the_logs(models: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    path = write_model(models, "m.keras")
    told = run(TELEMETRY, path)
    assert told is not None
    (sealed, facts), (refused, why) = told["span"]
    assert (sealed, refused) == ("keras_integrity.seal", "keras_integrity.refusal")
    assert facts["keras_integrity.path"] == str(path)
    assert facts["keras_integrity.outcome"] == "ok"
    assert facts["keras_integrity.size"] > 0
    assert why["keras_integrity.error.code"] == "unsealed"
    assert why["keras_integrity.signers"] == ["a", "b"]
    severities, bodies, attributes, traces = zip(*told["logs"], strict=True)
    assert severities == (9, 17, 9)
    assert bodies == (f"seal {path}: ok", "refusal m.keras: refused", f"unseal {path}: ok")
    assert attributes[2]["event.name"] == "keras_integrity.unseal"
    assert traces[0] == traces[1] != 0
    assert not traces[2]


def test_opentelemetry_without_a_provider_is_silent(models: Path) -> None:
    pytest.importorskip("opentelemetry", reason="opentelemetry is not installed")
    script = (
        "import sys; from opentelemetry import _logs, trace; import keras_integrity_hook as kih\n"
        "kih.seal(sys.argv[1])\n"
    )
    assert run(script, write_model(models, "m.keras")) is None


@pytest.mark.parametrize("outcome", ["unsealed", "ok"])
def test_a_save_without_a_seal_is_warned_of_where_nobody_has_set_up_logging(
    outcome: str, tmp_path: Path
) -> None:
    code = (
        "from keras_integrity_hook import audit\n"
        f"audit.record('save', 'm.keras', outcome={outcome!r}, why='no room')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    told = "save m.keras: not sealed: no room" in done.stderr
    assert told is (outcome == "unsealed")
    assert done.stderr.count("not sealed") == told
