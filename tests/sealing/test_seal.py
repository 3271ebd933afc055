# SPDX-License-Identifier: Apache-2.0
"""The seal itself: format, round trips, and every way to damage it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zipfile
from pathlib import Path

import h5py
import pytest
from hypothesis import given
from hypothesis import strategies as st

import keras_integrity_hook as kih
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.fleet import discovery
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.saving import statement as new_statement
from keras_integrity_hook.sealing import block, canonical, envelope, statement, tree
from keras_integrity_hook.sealing.content import FileContent
from tests.support.models import (
    CONTAINERS,
    archive_bytes,
    hdf5_bytes,
    single_mutations,
    write_model,
)

VECTORS = Path(__file__).parent.parent / "vectors"


@pytest.fixture(params=CONTAINERS)
def sealed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = write_model(tmp_path, request.param)
    kih.seal(path)
    return path


def test_seal_then_unseal_gives_the_bytes_back(sealed: Path, tmp_path: Path) -> None:
    original = write_model(tmp_path, "other." + sealed.name.partition(".")[2]).read_bytes()
    kih.unseal(sealed)
    assert sealed.read_bytes() == original


@pytest.mark.parametrize("name", CONTAINERS)
def test_unseal_then_seal_gives_the_bytes_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    path = write_model(tmp_path, name)
    kih.seal(path)
    first = path.read_bytes()
    kih.unseal(path)
    kih.seal(path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "blake2b"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_every_algorithm_verifies_and_refuses(name: str, algorithm: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, name)
    report = kih.seal(path, algorithm=algorithm)
    assert report.seal is not None
    assert report.seal.algorithm == algorithm
    assert kih.verify(path).assurance == "integrity only"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.IntegrityError):
        kih.verify(path)


def test_root_digest_is_what_the_format_says(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.weights.h5")
    content = path.read_bytes()
    report = kih.seal(path)
    assert report.seal is not None
    chunk = 1 << 20
    table = b"".join(
        hashlib.sha256(content[at : at + chunk]).digest() for at in range(0, len(content), chunk)
    )
    root = hashlib.sha256(
        b"keras-integrity/v1\0sha256" + struct.pack("<QQ", len(content), chunk) + table
    ).hexdigest()
    assert report.seal.root == root


def test_sealed_files_stay_readable_by_standard_tools(sealed: Path) -> None:
    if sealed.suffix == ".keras":
        with zipfile.ZipFile(sealed) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
    else:
        with h5py.File(sealed) as file:
            assert file["layers/dense_1/vars/1"][0] == 1.0


def test_damage_is_named_by_variable(sealed: Path) -> None:
    report = kih.inspect(sealed)
    assert report.seal is not None
    region = next(r for r in report.seal.regions if r.name.endswith("layers/dense_1/vars/0"))
    shift = report.seal.block_size if report.container == "hdf5" else 0
    data = bytearray(sealed.read_bytes())
    data[region.offset + shift + 3] ^= 0x40
    sealed.write_bytes(data)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        kih.verify(sealed)
    assert caught.value.parts == ("layers/dense_1/vars/0",)
    assert caught.value.damaged[0].start <= region.offset < caught.value.damaged[0].stop
    assert caught.value.to_dict()["evidence"]["parts"] == ["layers/dense_1/vars/0"]


def test_every_byte_of_a_sealed_file_is_guarded(sealed: Path) -> None:
    data = sealed.read_bytes()
    victim = sealed.with_name("victim")
    step = max(1, len(data) // 1500)
    for at in range(0, len(data), step):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        victim.write_bytes(changed)
        with pytest.raises(kih.IntegrityError):
            kih.verify(victim)


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
@pytest.mark.parametrize("name", CONTAINERS)
def test_any_single_mutation_is_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, where: float, bit: int
) -> None:
    directory = tmp_path_factory.mktemp("mutation")
    path = write_model(directory, name)
    kih.seal(path)
    data = path.read_bytes()
    for kind, mutated in single_mutations(data, int(where * len(data)), bit):
        path.write_bytes(mutated)
        try:
            report = kih.verify(path)
        except kih.IntegrityError:
            continue
        pytest.fail(f"{kind} at {where} passed as {report.state}")


@pytest.mark.parametrize("name", CONTAINERS)
def test_swapped_content_under_a_foreign_seal_is_refused(name: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, name)
    kih.seal(path)
    other = hdf5_bytes(rows=9)
    if name.endswith(".keras"):
        donor = tmp_path / "donor.keras"
        donor.write_bytes(archive_bytes(other))
        kih.seal(donor)
        with zipfile.ZipFile(donor) as archive:
            weights = archive.read("model.weights.h5")
        data, start = path.read_bytes(), path.read_bytes().index(b"\x89HDF")
        path.write_bytes(
            data[:start] + weights[: len(hdf5_bytes())] + data[start + len(hdf5_bytes()) :]
        )
    else:
        report = kih.inspect(path)
        assert report.seal is not None
        path.write_bytes(path.read_bytes()[: report.seal.block_size] + other)
    with pytest.raises(kih.IntegrityError):
        kih.verify(path)


def test_already_sealed_is_left_alone(sealed: Path) -> None:
    before = sealed.read_bytes()
    with pytest.raises(kih.AlreadySealedError):
        kih.seal(sealed)
    assert sealed.read_bytes() == before


def test_unsealed_is_refused_where_a_seal_is_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, "model.keras")
    assert kih.verify(path).state == "unsealed"
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "reject")
    with pytest.raises(kih.UnsealedModelError):
        kih.verify(path)


def test_archive_with_hdf5_signature_where_a_user_block_could_end(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    filler = 512 - 30 - len("a.json") - 30 - len("model.weights.h5")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", b" " * filler)
        archive.writestr("model.weights.h5", hdf5_bytes())
    assert path.read_bytes().find(b"\x89HDF") == 512
    original = path.read_bytes()
    assert kih.seal(path).container == "keras-zip"
    kih.verify(path)
    kih.unseal(path)
    assert path.read_bytes() == original


def _zip64(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    path.write_bytes(archive_bytes())
    assert b"PK\x06\x06" in path.read_bytes()


def test_zip64_archive_round_trip_and_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    _zip64(path, monkeypatch)
    original = path.read_bytes()
    kih.seal(path)
    assert kih.verify(path).state == "sealed"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    sealed = path.read_bytes()
    for at in range(len(sealed) - 300, len(sealed)):
        path.write_bytes(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        with pytest.raises(kih.IntegrityError):
            kih.verify(path)
    path.write_bytes(sealed)
    kih.unseal(path)
    assert path.read_bytes() == original


def test_archive_beyond_four_gib_is_parsed(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    size = (1 << 32) + 4096
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        info = zipfile.ZipInfo("big.bin")
        with archive.open(info, "w", force_zip64=True) as member:
            archive.fp.seek(size, os.SEEK_CUR)  # type: ignore[union-attr]
            archive.fp.write(b"\0")  # type: ignore[union-attr]
            member._file_size = member._compress_size = size + 1  # type: ignore[attr-defined]
        archive.writestr("config.json", b"{}")
    from keras_integrity_hook.containers import opening

    with open(path, "rb") as file:
        layout = opening.locate(file.fileno(), path.stat().st_size)
    assert [member.name for member in layout.members] == ["big.bin", "config.json"]
    assert layout.members[1].offset > 1 << 32


# Structure that reads differently in different readers


def _rewritten(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_zip_with_a_comment_or_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(kih.DamagedFileError):
        kih.verify(_rewritten(tmp_path / "m.keras", archive_bytes() + b"suffix"))


def test_zip_with_contradicting_local_name_is_refused(tmp_path: Path) -> None:
    data = archive_bytes().replace(b"config.json", b"konfig.json", 1)
    with pytest.raises(kih.DamagedFileError, match="contradicts"):
        kih.verify(_rewritten(tmp_path / "m.keras", data))


def test_hdf5_with_a_foreign_user_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(kih.IntegrityError):
        kih.verify(_rewritten(tmp_path / "m.h5", bytes(512) + hdf5_bytes()))


# Parsers on hostile bytes


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":2}',
        b'{"a": 1}',
        b'{"b":1,"a":2}',
        b"1.5",
        b"NaN",
        b'"\\u0041"',
        b'"\\ud800"',
        b"\xff",
        b"",
        b"-0",
    ],
)
def test_json_that_is_not_canonical_is_refused(text: bytes) -> None:
    with pytest.raises(kih.MalformedSealError):
        canonical.decode(text)


@given(st.binary(max_size=400))
def test_parsers_raise_nothing_but_our_errors(data: bytes) -> None:
    for parse in (block.decode, envelope.decode, statement.decode, canonical.decode):
        with contextlib.suppress(kih.IntegrityError):
            parse(data)


@given(st.sampled_from([b"KERASEAL", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"]), st.binary(max_size=300))
def test_arbitrary_files_raise_nothing_but_our_errors(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "m.keras"
    path.write_bytes(head + rest)
    with contextlib.suppress(kih.IntegrityError):
        kih.verify(path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_canonical_json_round_trip(value: object) -> None:
    try:
        data = canonical.encode(value)
    except kih.MalformedSealError:
        return  # a lone surrogate
    with contextlib.suppress(kih.LimitExceededError):
        assert canonical.decode(data) == value


@given(st.binary(max_size=64), st.binary(max_size=64), st.integers(0, 64))
def test_block_round_trip(wrapped: bytes, table: bytes, padding: int) -> None:
    data = block.encode(wrapped, table, padding)
    assert block.decode(data) == (wrapped, table, len(data))
    assert block.size_from_header(data) == block.size_from_trailer(data[-16:]) == len(data)


def test_chunk_sizes_keep_the_table_small() -> None:
    for size in (0, 1, 1 << 20, 4096 << 20, (4096 << 20) + 1, 1 << 45):
        chunk = tree.chunk_size_for(size)
        assert chunk >= 1 << 20
        assert tree.chunk_count(size, chunk) <= 4096


def test_file_that_shrinks_while_it_is_hashed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(3 << 20))
    with open(path, "rb+") as file:
        content = FileContent(file.fileno(), 0, 3 << 20)
        file.truncate(1 << 20)
        with pytest.raises(kih.DamagedFileError, match="shorter"):
            tree.table(content, chunk_size=1 << 20, algorithm="sha256")


RELEASED = sorted(path for path in VECTORS.glob("v*/*") if path.suffix != ".seal")


@pytest.mark.parametrize("path", RELEASED, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_released_vectors_still_verify(path: Path) -> None:
    assert kih.verify(path).state == "sealed"


def test_there_is_a_vector_of_every_container_with_the_seal_in_it_and_beside_it() -> None:
    seals = [(report.container, report.seal) for report in map(kih.inspect, RELEASED)]
    found = {(container, seal.store) for container, seal in seals if seal is not None}
    assert found == {(a, b) for a in statement.FILES for b in ("embedded", "sidecar")}


RELEASED_SETS = sorted(VECTORS.glob("sets/v*/*"))


@pytest.mark.parametrize("folder", RELEASED_SETS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_released_sets_still_verify(folder: Path) -> None:
    (found,) = discovery.model_files([str(folder)])
    report = kih.verify(found.path)
    assert (report.state, report.container) == ("sealed", folder.name)


def test_there_is_a_vector_of_every_kind_of_set() -> None:
    assert {folder.name for folder in RELEASED_SETS} == set(statement.SETS)


def test_a_seal_of_a_container_that_no_build_reads_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.new"
    path.write_bytes(b"content")
    with open(path, "r+b") as file:
        layout = Layout("new", FileContent(file.fileno(), 0, 7))
        with pytest.raises(kih.MalformedSealError, match="unknown container"):
            new_statement.seal_of(layout, subject="model.new")
        with pytest.raises(KeyError):
            seal_writer.put_block(file.fileno(), layout, b"{}", b"")
    assert path.read_bytes() == b"content"
