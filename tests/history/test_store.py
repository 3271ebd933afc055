# SPDX-License-Identifier: Apache-2.0
"""The files of the memory: what others put there, what was damaged, how many, and how often."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_integrity_hook as kih
from keras_integrity_hook.files import kept, owned, portable
from keras_integrity_hook.history import directories, seen, store
from keras_integrity_hook.history.memory import Memory
from keras_integrity_hook.history.seen import FILE, Entry, Seen
from keras_integrity_hook.limits import LIMITS
from tests.support.children import as_user, let_others_in
from tests.support.models import CONTAINERS, write_model

ONE = Seen(seal="5e", at="2026-11-28T12:00:00Z")


def entry_for(path: Path) -> Entry:
    return Entry(os.path.realpath(path), {FILE: ONE})


def put(path: Path) -> Path:
    """Remember ``path``; the file in which that is."""
    entry = entry_for(path)
    store.write(directories.of_user(), entry)
    return Path(directories.file_of(directories.of_user(), entry.path))


def get(path: Path) -> Entry | None:
    return store.read(directories.of_user(), os.path.realpath(path))


texts = st.text(max_size=40)
seen_models = st.builds(
    Seen,
    seal=texts,
    at=texts,
    signers=st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=3),
    claims=st.lists(texts, max_size=3).map(tuple),
    name=texts,
    versions=st.dictionaries(texts, texts, max_size=3),
)


@given(st.builds(Entry, texts, st.dictionaries(texts, seen_models, max_size=3)))
def test_what_is_written_is_what_is_read(entry: Entry) -> None:
    assert seen.decode(seen.encode(entry)) == entry


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_entry_is_one_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - and no other
        seen.decode(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 100, b"{", b"[" * 100_000, b'{"version":1}', b'{"version":2}', b" " * 100_000],
    ids=["empty", "zeros", "half", "deep", "bare", "later", "long"],
)
def test_a_damaged_file_is_no_memory_and_no_trouble(tmp_path: Path, data: bytes) -> None:
    model = write_model(tmp_path, "model.keras")
    kih.seal(model)
    put(model).write_bytes(data)
    assert get(model) is None
    assert kih.verify(model).contradiction == ""
    kih.unseal(model)
    kih.seal(model)
    assert get(model) is not None


def test_files_and_directories_are_the_users_own(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        file = put(tmp_path / "model.keras")
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    put(path).chmod(0o666)
    assert get(path) is None


def test_a_link_or_a_pipe_in_its_place_is_not_followed_and_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    file = put(path)
    kept = file.rename(tmp_path / "kept")
    os.mkfifo(file)
    assert get(path) is None
    file.unlink()
    file.symlink_to(kept)
    store.write(directories.of_user(), entry_for(path))
    assert not file.is_symlink()
    assert get(path) == entry_for(path)


def test_another_paths_entry_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    one, other = put(tmp_path / "one.keras"), put(tmp_path / "other.keras")
    other.write_bytes(one.read_bytes())
    assert get(tmp_path / "other.keras") is None


def test_a_path_that_is_no_text_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"m\xff\n.keras")
    put(path)
    assert get(path) == entry_for(path)


class TestBounds:
    def test_a_directory_of_entries_is_halved_when_it_is_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "LIMITS", LIMITS._replace(history_entries=8))
        monkeypatch.setattr(
            directories, "file_of", lambda at, path: f"{at}/00/{os.path.basename(path)}.json"
        )
        there = [tmp_path / f"{n}.keras" for n in range(3)]
        for path in there:
            path.touch()
            put(path)
        for n in range(30):
            put(tmp_path / f"gone-{n}.keras")
        files = os.listdir(f"{directories.of_user()}/00")
        assert len(files) <= 8
        # Those whose model is still there go last.
        assert all(get(path) is not None for path in there)

    def test_what_killed_processes_left_is_swept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "LIMITS", LIMITS._replace(history_entries=4))
        monkeypatch.setattr(
            directories, "file_of", lambda at, path: f"{at}/00/{os.path.basename(path)}.json"
        )
        file = put(tmp_path / "first.keras")
        left = file.parent / ".new-0123456789abcdef"
        left.touch()
        os.utime(left, (0, 0))
        for n in range(4):
            put(tmp_path / f"{n}.keras")
        assert not left.exists()

    def test_more_than_an_entry_may_hold_is_not_written(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        put(path)
        claims = tuple(f"{n:064x}" for n in range(2000))
        long = Entry(os.path.realpath(path), {FILE: Seen("5e", "t", claims=claims)})
        store.write(directories.of_user(), long)
        assert get(path) == entry_for(path)


class TestCost:
    @pytest.mark.parametrize("name", CONTAINERS)
    def test_an_unchanged_model_writes_nothing(self, tmp_path: Path, name: str) -> None:
        model = write_model(tmp_path, name)
        kih.seal(model)
        [file] = Path(directories.of_user()).rglob("*.json")
        before = file.stat()
        from keras_integrity_hook.loading import pipeline

        for _ in range(3):
            pipeline.open_verified(str(model)).close()
        after = file.stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    def test_what_is_in_use_is_noted_once_a_day(self, tmp_path: Path) -> None:
        path = tmp_path / "model.keras"
        file = put(path)
        os.utime(file, (0, 0))
        store.refresh(directories.of_user(), os.path.realpath(path))
        assert file.stat().st_mtime > 0

    def test_nothing_is_ever_locked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A home on NFS may answer a lock never."""

        def lock(*arguments: Any, **more: Any) -> None:
            raise AssertionError("locked")

        monkeypatch.setattr(portable, "lock", lock)
        path = tmp_path / "model.keras"
        put(path)
        assert get(path) is not None
        store.forget(directories.of_user(), os.path.realpath(path))


class TestTrouble:
    @pytest.mark.parametrize("problem", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
    def test_a_memory_that_cannot_be_written_costs_nobody_a_model(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int
    ) -> None:
        def refuse(*arguments: Any, **more: Any) -> None:
            raise OSError(problem, os.strerror(problem))

        monkeypatch.setattr(kept, "replace", refuse)
        monkeypatch.setattr(store, "_create", refuse)
        model = write_model(tmp_path, "model.keras")
        assert kih.seal(model).state == "sealed"
        assert get(model) is None

    def test_a_user_without_a_home_works_as_ever(self, tmp_path: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root")
        model = write_model(tmp_path, "model.keras")
        let_others_in(tmp_path)
        tmp_path.chmod(0o777)
        model.chmod(0o666)
        os.environ["XDG_STATE_HOME"] = "/nonexistent"

        def work() -> None:
            kih.seal(model)
            assert kih.verify(model).state == "sealed"

        as_user(54321, work)

    def test_a_path_that_is_gone_can_be_asked_about(self, tmp_path: Path) -> None:
        put(tmp_path / "model.keras")
        memory = Memory(str(tmp_path / "model.keras"), None)
        assert memory.entry == entry_for(tmp_path / "model.keras")


@pytest.mark.parametrize("home", [None, "relative"])
def test_a_process_without_a_home_makes_none_where_it_works(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user by a number alone, as in containers: no folder "~" is made, and none is believed."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # as where nobody has this number
    monkeypatch.chdir(tmp_path)
    directory = directories.of_user()
    store.write(directory, Entry("/m", {FILE: ONE}))
    assert store.read(directory, "/m") is None
    assert list(store.entries(directory)) == []
    assert not kept.write(os.path.join(kept.state_directory(), "x"), b"x", at_most=9)
    assert os.path.isabs(owned.user_file("trust.toml"))
    assert owned.read_own(owned.user_file("trust.toml"), 9, named=False) is None
    assert os.listdir(tmp_path) == []
