# SPDX-License-Identifier: Apache-2.0
"""What a location is, to each of those who may be given it."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import tempfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files import location
from keras_integrity_hook.files.location import Kind, Reader

READERS = {
    "python": location.PYTHON,
    "tensorflow": location.TENSORFLOW,
    "keras": location.KERAS_AND_HUB,
    "keras weights": location.KERAS_WEIGHTS,
    "tf_keras": location.TF_KERAS,
    "keras_hub": location.KERAS_HUB,
}
TAKE_URLS = {"keras weights", "tensorflow", "keras", "tf_keras"}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "text",
    [
        "m.keras",
        "./m.keras",
        "/srv/m.keras",
        "//srv/m.keras",
        "/srv/m.keras/",
        "file:m.keras",
        "file:/srv/m.keras",
        "C:\\models\\m.keras",
        "~/m.keras",
        " m.keras",
        "/srv/%2e%2e/m.keras",
        unicodedata.normalize("NFC", "/srv/modèle.keras"),
        unicodedata.normalize("NFD", "/srv/modèle.keras"),
        "/proc/self/fd/3",
        "",
    ],
)
def test_what_has_no_scheme_is_the_path_that_it_says(reader: Reader, text: str) -> None:
    spellings: list[Any] = [text, os.fsencode(text)]
    if str(Path(text)) == text:
        spellings.append(Path(text))
    for spelling in spellings:
        found = location.of(spelling, reader)
        assert (found.kind, found.path) == (Kind.PATH, text)
        assert not found.is_copied


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///srv/m.keras", "/srv/m.keras"),
        ("File:///srv/m.keras", "/srv/m.keras"),
        ("file://localhost/srv/m.keras", "/srv/m.keras"),
        ("file://any.host/srv/m.keras", "/srv/m.keras"),
        ("file:///srv/a%20b.keras", "/srv/a%20b.keras"),
        ("file:////srv/m.keras", "//srv/m.keras"),
    ],
)
def test_file_url_is_the_path_in_it(reader: Reader, url: str, path: str) -> None:
    found = location.of(url, reader)
    assert (found.kind, found.path) == (Kind.PATH, path)
    assert found.is_copied == bool(reader.copied)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("scheme", ["gs", "s3", "ram", "http", "HF", "x", "a.b", "kaggle"])
def test_scheme_is_a_file_system_to_those_who_take_urls_alone(name: str, scheme: str) -> None:
    url = f"{scheme}://d/m.keras"
    found = location.of(url, READERS[name])
    if name == "keras_hub" and scheme == "kaggle":
        assert found.kind is Kind.HUB
    elif name in TAKE_URLS:
        assert (found.kind, found.path) == (Kind.REMOTE, "")
    else:
        # No "://" in it any more, so that no rule for paths takes it for a URL.
        assert (found.kind, found.path) == (Kind.PATH, f"{scheme}:/d/m.keras")


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize(
    "text", ["a_b://d/m.keras", "1x://d/m.keras", "a-b://d", "./gs://d", "://d"]
)
def test_what_tensorflow_takes_for_no_scheme_is_a_path(reader: Reader, text: str) -> None:
    found = location.of(text, reader)
    assert (found.kind, found.path) == (Kind.PATH, text.replace("//", "/"))


def test_hub_is_one_only_to_those_who_download_from_it() -> None:
    kinds = {name: location.of("hf://a/b", reader).kind for name, reader in READERS.items()}
    assert {name for name, kind in kinds.items() if kind is Kind.HUB} == {"keras", "keras_hub"}
    assert location.of("hf://a/b", location.KERAS).kind is Kind.REMOTE


def test_keras_looks_for_a_file_of_that_name_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kaggle:").mkdir()
    assert location.of("kaggle://m.keras", location.KERAS_AND_HUB).kind is Kind.REMOTE
    (tmp_path / "kaggle:" / "m.keras").touch()
    found = location.of("kaggle://m.keras", location.KERAS_AND_HUB)
    assert (found.kind, found.path, found.in_place) == (Kind.PATH, *["kaggle:/m.keras"] * 2)
    assert location.of("kaggle://m.keras", location.TENSORFLOW).kind is Kind.REMOTE


@pytest.mark.parametrize("mount", ["/gcs", "/cns", "/cfs"])
def test_mount_that_keras_copies_from_is_spelt_so_that_it_does_not(mount: str) -> None:
    for text in (f"{mount}/m.keras", f"file://{mount}/m.keras", f"file:///{mount}//m.keras"):
        found = location.of(text, location.KERAS)
        assert found.is_copied
        assert found.in_place == f"/.{mount}/m.keras"
    assert not location.of(f"{mount}/m.keras", location.TENSORFLOW).is_copied


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_nul_by_which_c_and_python_mean_different_files_is_an_error(reader: Reader) -> None:
    with pytest.raises(UnreadableFileError, match="null"):
        location.of("m.keras\0.h5", reader)


def test_open_file_is_that_file_whatever_becomes_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(b"content")
    with path.open("rb") as file, path.open("rb", buffering=0) as raw, path.open("r+b") as both:
        for opened in (file, raw, both):
            found = location.of(opened, location.PYTHON)
            assert found == (Kind.OPEN_FILE, str(path), str(path), opened.fileno(), False)
        path.rename(tmp_path / "other.keras")
        path.write_bytes(b"another file, which is not the one that is open")
        assert location.of(file, location.PYTHON).path == str(tmp_path / "other.keras")
        (tmp_path / "other.keras").unlink()
        assert location.of(file, location.PYTHON).path == str(tmp_path / "other.keras")


def test_open_file_is_called_as_it_was_opened_for_rules_hold_there(tmp_path: Path) -> None:
    (tmp_path / "blob").touch()
    (tmp_path / "latest.keras").symlink_to("blob")
    with (tmp_path / "latest.keras").open("rb") as file:
        assert location.of(file, location.PYTHON).path == str(tmp_path / "latest.keras")


def test_stream_in_memory_is_left_alone(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("a", b"b")
    with zipfile.ZipFile(archive) as opened, opened.open("a") as member:
        for stream in (archive, member, opened):
            assert location.of(stream, location.PYTHON).kind is Kind.MEMORY
    with tempfile.SpooledTemporaryFile() as spooled:
        assert location.of(spooled, location.PYTHON).kind in (Kind.MEMORY, Kind.OTHER)
        assert spooled._rolled is False  # type: ignore[attr-defined]


def test_stream_whose_bytes_are_not_those_of_its_file_is_unverifiable(tmp_path: Path) -> None:
    packed = tmp_path / "m.gz"
    packed.write_bytes(gzip.compress(b"content"))

    class Other(io.FileIO):
        def readinto(self, buffer: Any) -> int:
            return 0

    with (
        gzip.open(packed) as unpacked,
        Other(packed) as other,
        io.BufferedReader(other) as buffered,
        packed.open() as text,
    ):
        for stream in (unpacked, other, buffered, text):
            assert location.of(stream, location.PYTHON).kind is Kind.UNVERIFIABLE


def test_pipe_is_unverifiable() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as process:
        assert location.of(process.stdout, location.PYTHON).kind is Kind.UNVERIFIABLE


def test_open_archive_is_the_file_below_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("a", b"b")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        found = location.of(archive, location.PYTHON)
        assert (found.kind, found.path) == (Kind.OPEN_FILE, str(tmp_path / "m.zip"))


@pytest.fixture
def hdf5(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["x"] = [1.0]
    return tmp_path / "m.h5"


def test_open_hdf5_is_the_file_below_it(hdf5: Path) -> None:
    with h5py.File(hdf5) as file:
        found = location.of(file, location.PYTHON)
        assert (found.kind, found.path) == (Kind.OPEN_FILE, str(hdf5))
        assert os.path.samestat(os.fstat(found.fd), os.stat(hdf5))
    assert location.of(file, location.PYTHON).kind is Kind.MEMORY  # closed: for Keras to refuse


def test_hdf5_whose_bytes_cannot_be_had_is_unverifiable(hdf5: Path) -> None:
    with hdf5.open("rb") as below, h5py.File(below) as over, h5py.File(hdf5, driver="core") as core:
        assert location.of(over, location.PYTHON).kind is Kind.UNVERIFIABLE
        assert location.of(core, location.PYTHON).kind is Kind.UNVERIFIABLE


def test_hdf5_read_whole_from_a_file_that_was_renamed_is_no_memory(hdf5: Path) -> None:
    with h5py.File(hdf5, driver="core") as core:
        hdf5.rename(hdf5.with_name("elsewhere.h5"))
        assert location.of(core, location.PYTHON).kind is Kind.UNVERIFIABLE


def test_hdf5_in_memory_is_left_alone(hdf5: Path) -> None:
    data = hdf5.read_bytes()
    image = h5py.h5f.open_file_image(data)
    with h5py.File(io.BytesIO(data)) as file, h5py.File(image) as core:
        assert location.of(file, location.PYTHON).kind is Kind.MEMORY
        assert location.of(core, location.PYTHON).kind is Kind.MEMORY


@pytest.mark.parametrize("value", [None, 5, object()])
def test_what_is_no_location_is_left_to_keras(value: Any) -> None:
    assert not location.of(value, location.KERAS).is_file
