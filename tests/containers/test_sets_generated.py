# SPDX-License-Identifier: Apache-2.0
"""Generated sets of files: whatever is in them, any single change is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import keras_integrity_hook as kih
from keras_integrity_hook.containers import file_set
from keras_integrity_hook.sealing import canonical, statement
from tests.support.models import hdf5_bytes, single_mutations

# Any name a POSIX file may have, short enough for every file system.
names = st.binary(min_size=1, max_size=24).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
assets = st.dictionaries(names, st.binary(max_size=200), max_size=5)


def write_set(top: Path, files: dict[bytes, bytes]) -> Path:
    """A Keras directory with ``files`` as assets."""
    (top / "assets").mkdir()
    (top / "config.json").write_text('{"class_name": "Sequential"}')
    (top / "metadata.json").write_text('{"keras_version": "3.15.1"}')
    (top / "model.weights.h5").write_bytes(hdf5_bytes())
    for name, data in files.items():
        with open(os.path.join(os.fsencode(top), b"assets", name), "wb") as file:
            file.write(data)
    return top


def files_of(top: Path) -> list[Path]:
    return sorted(path for path in top.rglob("*") if path.is_file())


@given(files=assets)
def test_generated_sets_are_sealed_and_verify(
    tmp_path_factory: pytest.TempPathFactory, files: dict[bytes, bytes]
) -> None:
    top = write_set(tmp_path_factory.mktemp("set"), files)
    report = kih.seal(top)
    assert report.seal is not None
    covered = {member.name for member in report.seal.files}
    assert {file_set.escape("assets/" + os.fsdecode(name)) for name in files} <= covered | {
        "assets/summary_plot.png"
    }
    assert kih.verify(top).state == "sealed"


@given(
    files=assets, which=st.floats(0, 1, exclude_max=True), where=st.floats(0, 1, exclude_max=True)
)
def test_any_single_mutation_of_any_file_of_a_set_is_refused(
    tmp_path_factory: pytest.TempPathFactory, files: dict[bytes, bytes], which: float, where: float
) -> None:
    assume(b"summary_plot.png" not in files)
    top = write_set(tmp_path_factory.mktemp("set"), files)
    kih.seal(top)
    everything = files_of(top)
    path = everything[int(which * len(everything))]
    data = path.read_bytes()
    assume(data)
    for kind, mutated in single_mutations(data, int(where * len(data)), int(where * 8)):
        path.write_bytes(mutated)
        with pytest.raises(kih.IntegrityError):
            pytest.fail(f"{kind} of {path.name} passed as {kih.verify(top).state}")


@given(files=assets, which=st.floats(0, 1, exclude_max=True))
def test_any_file_taken_out_of_a_set_is_missed(
    tmp_path_factory: pytest.TempPathFactory, files: dict[bytes, bytes], which: float
) -> None:
    assume(b"summary_plot.png" not in files)
    top = write_set(tmp_path_factory.mktemp("set"), files)
    kih.seal(top)
    everything = [path for path in files_of(top) if path.suffix != ".seal"]
    everything[int(which * len(everything))].unlink()
    with pytest.raises(kih.ChecksumMismatchError, match="is missing"):
        kih.verify(top)


HOSTILE_LISTS = {
    "outside": [["../config.json", 2]],
    "absolute": [["/etc/passwd", 2]],
    "current": [["./config.json", 2]],
    "empty name": [["", 2]],
    "double slash": [["a//b", 2]],
    "backslash": [["a\\b", 2]],
    "unsorted": [["b", 1], ["a", 1]],
    "twice": [["a", 1], ["a", 1]],
    "file and directory": [["a", 1], ["a/b", 1]],
    "sizes": [["a", 3]],
    "negative": [["a", -1], ["b", 3]],
    "not pairs": [["a"]],
    "nothing": [],
}


@pytest.mark.parametrize("files", HOSTILE_LISTS.values(), ids=HOSTILE_LISTS)
def test_hostile_list_of_files_is_refused(files: list[list[object]]) -> None:
    said = statement.Statement(
        subject="m",
        root="00" * 32,
        container="keras-directory",
        algorithm="sha256",
        size=2,
        chunk_size=1 << 20,
        created="2026-11-25T00:00:00Z",
        files=(statement.Member("a", 2),),
    )
    statement.decode(statement.encode(said))
    value = canonical.decode(statement.encode(said))
    value["predicate"]["files"] = files
    with pytest.raises(kih.MalformedSealError):
        statement.decode(canonical.encode(value))


def test_too_many_listed_files_are_refused() -> None:
    members = tuple(statement.Member(f"{number:06}", 0) for number in range(20_001))
    said = statement.Statement(
        subject="m",
        root="00" * 32,
        container="orbax",
        algorithm="sha256",
        size=0,
        chunk_size=1 << 20,
        created="2026-11-25T00:00:00Z",
        files=members,
    )
    with pytest.raises(kih.LimitExceededError):
        statement.decode(statement.encode(said))
