# SPDX-License-Identifier: Apache-2.0
"""``register_on_save``: what is saved gets into the registry, and nothing of that is in the way."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.client import spool
from keras_integrity_hook.saving import pipeline, registering
from tests.support import attacks
from tests.support.attacks import GOOD, KINDS, Publisher
from tests.support.fleets import Fleet, registration_of
from tests.support.models import archive_bytes
from tests.support.processes import environment

pytest.importorskip("sqlalchemy", reason="a registry needs sqlalchemy")


@pytest.fixture
def fleet(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A registry, and a machine on which Carol saves, who may register."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Fleet(tmp_path / "fleet")
    shutil.copy(made.cast.service, made.url.removeprefix("sqlite:///") + ".key")
    made.demand(register_on_save=True, key=made.cast.path("carol"))
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(made.policy))
    return made


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread works the tasks off before the test does."""
    monkeypatch.setattr(registering, "_wake", lambda: None)


def save(path: Path, version: str, content: bytes = b"") -> Path:
    """A save without Keras: what it writes is made already."""
    path.parent.mkdir(exist_ok=True)
    data = content or archive_bytes(config=b'{"version": "%b"}' % version.encode())
    with kih.provenance(name="churn", version=version) if version else contextlib.nullcontext():
        pipeline.save_sealed(str(path), lambda where: Path(where).write_bytes(data))
    return path


def versions_of(fleet: Fleet) -> list[str]:
    return sorted(row.version for row in fleet.store.versions("churn"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_keras_saves_is_registered_and_loaded(
    keras: Any, models: Path, publisher: Publisher, fleet: Fleet, kind: str
) -> None:
    path = publisher.save(models / kind)
    registering.flush()
    assert attacks.value_of(path) == GOOD
    (row,) = fleet.store.versions("fraud")
    assert (row.version, row.root) == ("2.0", registration_of(path).root)


def test_process_that_ends_has_registered_what_it_saved(models: Path, fleet: Fleet) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom tests.saving.test_registering import save\n"
        "from keras_integrity_hook.saving import registering\n"
        "registering._PATIENCE = 100.0\n"  # seconds, however slow the machine
        "save(Path(sys.argv[1]), '1.0')\n"
    )
    repository = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-c", code, str(models / "m.keras")],
        env=environment(repository),
        check=True,
        timeout=100,
    )
    assert versions_of(fleet) == ["1.0"]
    assert spool.names() == []


def test_registry_that_is_down_gets_it_when_it_is_back(
    models: Path, fleet: Fleet, idle: None
) -> None:
    database = Path(fleet.url.removeprefix("sqlite:///"))
    away = database.with_suffix(".away")
    fleet.demand(url=f"sqlite:///{away}", register_on_save=True, key=fleet.cast.path("carol"))
    save(models / "m.keras", "1.0")
    found = registering.flush()
    assert (found.sent, found.refused, found.waiting) == (0, (), 1)
    assert "m.keras" in found.cause
    fleet.store.close()
    shutil.copy(f"{database}.key", f"{away}.key")
    database.rename(away)
    assert registering.flush()[:3] == (1, (), 0)
    assert spool.names() == []


def test_version_that_is_another_model_already_is_told_and_laid_aside(
    models: Path, fleet: Fleet, idle: None
) -> None:
    save(models / "m.keras", "1.0")
    registering.flush()
    other = save(models / "other.keras", "1.0", archive_bytes(config=b"another"))
    with pytest.warns(kih.IntegrityWarning, match="is not registered"):
        found = registering.flush()
    assert [path for path, _ in found.refused] == [str(other)]
    assert spool.names() == []
    (kept,) = Path(spool.directory(), "refused").iterdir()
    assert str(other) in kept.read_text()


def test_only_what_was_saved_and_signed_is_registered(
    models: Path, fleet: Fleet, idle: None
) -> None:
    """Whoever may write there puts something else in its place before it is looked at."""
    path = models / "m.keras"
    save(path, "1.0")
    shutil.copy(path, save(models / "n.keras", "2.0"))
    fleet.demand()
    kih.unseal(path)
    with kih.provenance(name="churn", version="1.0"):
        kih.seal(path)  # with the same content, and nobody's signature
    with pytest.warns(kih.IntegrityWarning, match="is not registered"):
        found = registering.flush()
    causes = [cause for _, cause in found.refused]
    assert versions_of(fleet) == []
    assert "has not signed it" in causes[0]
    assert "replaced" in causes[1]


@pytest.mark.parametrize("missing", ["name", "key"])
def test_model_that_cannot_be_registered_is_saved_all_the_same(
    models: Path, fleet: Fleet, missing: str
) -> None:
    key = {} if missing == "key" else {"key": fleet.cast.path("carol")}
    fleet.demand(register_on_save=True, **key)
    models.mkdir()
    path = models / "m.keras"
    said = "is saved and not registered: .*" + missing
    with pytest.warns(kih.IntegrityWarning, match=said):
        save(path, "1.0" if missing == "key" else "")
    assert kih.inspect(path).state == "sealed"
    assert spool.names() == []


def test_task_that_cannot_be_read_waits_and_keeps_no_thread_busy(
    models: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(spool.directory()).mkdir(parents=True)
    Path(spool.directory(), "0-broken.json").write_bytes(b"{")
    flushed: list[registering.Flushed] = []
    real = registering.flush

    def noted() -> registering.Flushed:
        flushed.append(real())
        return flushed[-1]

    monkeypatch.setattr(registering, "flush", noted)
    save(models / "model.keras", "1.0")
    assert registering._sender is not None
    registering._sender.wait(100)
    time.sleep(0.3)  # in which a busy thread would try again, many times
    assert versions_of(fleet) == ["1.0"]
    assert [one.waiting for one in flushed][-1] == 1
    assert "0-broken.json" in flushed[-1].cause
    assert len(flushed) < 5


FEW = LIMITS._replace(registry_refused=3)


def test_only_so_many_that_were_refused_are_kept(
    models: Path, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras_integrity_hook.registry.client.spool.LIMITS", FEW)
    folder = Path(spool.directory())
    folder.mkdir(parents=True)
    for number in range(10):
        name = f"{number:020}-1-0.json"
        (folder / name).write_bytes(b"{}")
        spool.refused(name)
    assert sorted(os.listdir(folder / "refused")) == [f"{n:020}-1-0.json" for n in (7, 8, 9)]


def test_task_that_others_may_write_is_not_believed(models: Path, fleet: Fleet, idle: None) -> None:
    save(models / "m.keras", "1.0")
    (name,) = spool.names()
    Path(spool.directory(), name).chmod(0o666)
    found = registering.flush()
    assert (found.sent, found.refused, found.waiting) == (0, (), 1)
    assert "cannot be read" in found.cause
    assert versions_of(fleet) == []


KILLS = 50


def test_what_a_save_has_acknowledged_is_registered_whenever_it_is_killed(
    models: Path, fleet: Fleet
) -> None:
    """``kill -9`` at any instant of a save, of the making of the event, and of handing it in."""
    kill_savers(models, fleet, KILLS)


@pytest.mark.nightly
def test_what_a_save_has_acknowledged_is_registered_after_a_thousand_kills(
    models: Path, fleet: Fleet
) -> None:
    kill_savers(models, fleet, 1000)


def kill_savers(models: Path, fleet: Fleet, count: int) -> None:
    fleet.store.close()
    chance = random.Random(count)
    acknowledged: list[str] = []
    for number in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            save_for_ever(models, number, writer)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            acknowledged.append(pipe.readline().strip())  # at least one, however slow it is
            time.sleep(chance.uniform(0, 0.08))
            os.kill(child, signal.SIGKILL)
            acknowledged += pipe.read().split()
        os.waitpid(child, 0)
    assert all(acknowledged)
    found = registering.flush()
    assert not found.waiting, found.cause
    known = {row.version for page in _pages(fleet) for row in page}
    assert set(acknowledged) - known == set()
    assert spool.names() == []


def _pages(fleet: Fleet) -> Any:
    before = None
    while page := fleet.store.versions("churn", before=before, limit=100):
        yield page
        before = page[-1].registered


def save_for_ever(models: Path, number: int, writer: int) -> None:
    try:
        for version in range(1000):
            save(models / f"{number}-{version}.keras", f"{number}.{version}")
            os.write(writer, f"{number}.{version}\n".encode())
    finally:
        os._exit(1)


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A directory of a store, as a URL."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.makedirs(f"/{tmp_path.name}")
    return f"memory://{tmp_path.name}"


def put(url: str, version: str) -> str:
    """As :func:`save`, to a URL."""
    data = archive_bytes(config=b'{"version": "%b"}' % version.encode())
    with kih.provenance(name="churn", version=version):
        pipeline.save_sealed(url, lambda where: Path(where).write_bytes(data))
    return url


@pytest.mark.parametrize("store_of_seal", ["embedded", "sidecar"])
def test_what_is_saved_to_a_url_is_registered(
    store: str, fleet: Fleet, idle: None, store_of_seal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", store_of_seal)
    put(f"{store}/m.keras", "1.0")
    assert registering.flush()[:3] == (1, (), 0)
    assert versions_of(fleet) == ["1.0"]
    assert kih.verify(f"{store}/m.keras").state == "sealed"


def test_directory_that_is_saved_to_a_url_is_registered(
    keras: Any, store: str, fleet: Fleet, idle: None
) -> None:
    if not hasattr(keras.src.saving.saving_lib, "_load_model_from_dir"):
        pytest.skip("this version of Keras has no unzipped models")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with kih.provenance(name="churn", version="1.0"):
        model.save(f"{store}/m", zipped=False)
    assert registering.flush()[:3] == (1, (), 0)
    assert versions_of(fleet) == ["1.0"]


def test_only_what_was_saved_to_a_url_is_registered(store: str, fleet: Fleet, idle: None) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    first, second = put(f"{store}/m.keras", "1.0"), put(f"{store}/n.keras", "2.0")
    files.copy(second, first)
    files.rm(second)
    with pytest.warns(kih.IntegrityWarning, match="is not registered"):
        found = registering.flush()
    assert dict(found.refused)[first].startswith("it was replaced")
    assert dict(found.refused)[second] == "it is not there any more"
    assert versions_of(fleet) == []


def test_store_that_does_not_answer_is_asked_again(
    store: str, fleet: Fleet, idle: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    url = put(f"{store}/m.keras", "1.0")

    def is_away(self: object, path: str, **options: object) -> None:
        raise ConnectionError("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "info", is_away)
        found = registering.flush()
        assert (found.sent, found.refused, found.waiting) == (0, (), 1)
        assert url in found.cause
    assert registering.flush()[:3] == (1, (), 0)
