# SPDX-License-Identifier: Apache-2.0
"""What killed uploads leave goes with the next save, or by a command; living uploads stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, Place
from keras_integrity_hook.remote import leftovers, set_putting
from keras_integrity_hook.remote.store import Entry
from keras_integrity_hook.saving import pipeline
from tests.support.models import archive_bytes
from tests.support.processes import environment

fsspec = pytest.importorskip("fsspec")

from tests.support import watched_store  # noqa: E402
from tests.support.watched_store import WatchedFileSystem  # noqa: E402

DEAD, ALIVE = "0123456789abcdef", "fedcba9876543210"
DAYS = 24 * 60 * 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """The directory ``m`` in a store whose files lie here."""
    watched_store.register()
    (tmp_path / "store" / "m").mkdir(parents=True)
    yield tmp_path / "store" / "m"
    WatchedFileSystem.before = staticmethod(lambda operation, path: None)


def left(path: Path, days: float) -> Path:
    """A file that was written so many days ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"1")
    when = time.time() - days * DAYS
    os.utime(path, (when, when))
    return path


def save(store: Path) -> None:
    data = archive_bytes()
    pipeline.save_sealed(f"watched://{store}/m.keras", lambda at: Path(at).write_bytes(data))


def names(store: Path) -> set[str]:
    return {path.name for path in store.rglob("*") if path.is_file()}


def test_save_removes_what_killed_ones_left_and_nothing_of_living_ones(store: Path) -> None:
    left(store / f".keras-integrity-{DEAD}", 3)
    kept = {
        left(store / f".keras-integrity-{ALIVE}", 0.5).name,
        # An upload that is at its second object: the first one has waited for long.
        left(store / f".keras-integrity-upload-{'a' * 16}-00000", 3).name,
        left(store / f".keras-integrity-upload-{'a' * 16}-00001", 0.1).name,
        left(store / ".keras-integrity-of-somebody-else", 3).name,
        left(store / "README.md", 3).name,
    }
    save(store)
    assert names(store) == {"m.keras", *kept}


def test_age_is_told_by_the_clock_of_the_store(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine whose clock is far ahead removes nothing of a living upload."""
    alive = left(store / f".keras-integrity-{ALIVE}", 0)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    save(store)
    assert alive.exists()


def test_directory_is_looked_into_once_by_a_process(store: Path) -> None:
    save(store)
    dead = left(store / f".keras-integrity-{DEAD}", 3)
    save(store)
    assert dead.exists()


def test_saved_set_removes_what_killed_ones_left_at_any_depth(store: Path, tmp_path: Path) -> None:
    dead = [
        left(store / f".keras-integrity-upload-{DEAD}-00000", 3),
        left(store / "assets" / f".keras-integrity-upload-{DEAD}-00001", 3),
    ]
    left(tmp_path / "new" / "config.json", 0)
    place = Place(KERAS_DIRECTORY, f"watched://{store}", "")
    set_putting.Upload(str(tmp_path / "new"), place).finish(["config.json"])
    assert not any(path.exists() for path in dead)
    assert names(store) == {"config.json"}


def test_what_cannot_be_removed_does_not_fail_the_save(store: Path) -> None:
    dead = left(store / f".keras-integrity-{DEAD}", 3)

    def before(operation: str, path: str) -> None:
        if path.endswith(DEAD):
            raise PermissionError("not yours")

    WatchedFileSystem.before = staticmethod(before)
    save(store)
    assert dead.exists()
    assert (store / "m.keras").exists()


def test_what_a_store_gives_no_time_of_is_kept() -> None:
    entry = Entry(f"s3://b/.keras-integrity-{DEAD}", 1, "", False)
    (found,) = leftovers._among("s3://b", [entry], time.time())
    assert found.since is None
    assert not found.is_abandoned


@pytest.mark.parametrize(
    "told",
    [
        {"LastModified": datetime(2026, 1, 2, tzinfo=UTC)},
        {"mtime": datetime(2026, 1, 2, tzinfo=UTC).timestamp()},
        {"updated": "2026-01-02T00:00:00.000Z"},
        {"last_modified": "2026-01-02T02:00:00+02:00"},
        {"modified": datetime(2026, 1, 2)},
        {"created": "yesterday", "mtime": 1767312000},
    ],
)
def test_time_of_a_store_is_understood(told: dict[str, Any]) -> None:
    from keras_integrity_hook.remote import fsspec_store

    assert fsspec_store._modified(told) == 1767312000
    assert fsspec_store._modified({"LastModified": "yesterday"}) == 0


@pytest.mark.parametrize("place", ["s3", "memory"], indirect=True)  # ram:// does not say
def test_each_kind_of_store_says_when_it_was_written_to(place: Any) -> None:
    from keras_integrity_hook.remote import sources

    place.write("m.keras", b"1")
    (entry,) = sources.listing(place.url)
    assert abs(entry.modified - time.time()) < timedelta(hours=20).total_seconds()


def run(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-c", CLI, "clean", *arguments]
    env = environment(REPOSITORY)
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    return done.returncode, done.stdout + done.stderr


REPOSITORY = str(Path(__file__).parents[2])
CLI = """
from tests.support import watched_store
watched_store.register()
from keras_integrity_hook.cli import main
main()
"""


def test_command_removes_what_was_left_and_keeps_the_rest(store: Path) -> None:
    dead = left(store / "deep" / "er" / f".keras-integrity-upload-{DEAD}-00000", 3)
    alive = left(store / f".keras-integrity-{ALIVE}", 0.5)
    left(store / "m.keras", 3)
    url = f"watched://{store}"
    status, told = run(url, "--dry-run")
    assert (status, dead.exists()) == (0, True)
    assert f"would-remove    {url}/deep/er/{dead.name}" in told
    status, told = run(url, "--json")
    assert json.loads(told) == {
        "schema": 1,
        "command": "clean",
        "ok": True,
        "dry_run": False,
        "removed": [f"{url}/deep/er/{dead.name}"],
        "kept": [f"{url}/{alive.name}"],
    }
    assert names(store) == {"m.keras", alive.name}
    assert "kept" in run(url)[1]
    alive.unlink()
    assert "No upload has left anything" in run(url)[1]


@pytest.mark.parametrize("place_named", ["here", "watched:///nowhere/at/all"])
def test_command_refuses_what_is_no_directory_of_a_store(place_named: str) -> None:
    status, told = run(place_named)
    assert status == 1
    assert "no URL of a store" in told or "nothing is there" in told


def test_killed_save_is_made_good_by_the_next(store: Path, tmp_path: Path) -> None:
    """The whole way: a process is killed in its upload, a day passes, somebody saves again."""
    save(store)
    child = os.fork()
    if not child:
        try:

            def before(operation: str, path: str) -> None:
                if operation == "move":
                    os.kill(os.getpid(), 9)

            WatchedFileSystem.before = staticmethod(before)
            save(store)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    (staged,) = (path for path in store.iterdir() if path.name.startswith(".keras-integrity-"))
    left(staged, 1.1)
    leftovers._looked_into.clear()
    save(store)
    assert names(store) == {"m.keras"}
