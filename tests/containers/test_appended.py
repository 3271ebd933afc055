# SPDX-License-Identifier: Apache-2.0
"""Something appended to an archive: it is named, never loaded, and can be told apart again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import opening
from tests.support.models import archive_bytes

LABELS = b"cat\ndog\n" * 100


def as_zip64(data: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            with new.open(name, "w", force_zip64=True) as member:
                member.write(old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("labels", [LABELS, archive_bytes()], ids=["labels", "another archive"])
def test_appended_bytes_are_named_and_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool, zip64: bool, labels: bytes
) -> None:
    path, original = tmp_path / "m.keras", archive_bytes()
    if zip64:
        original = as_zip64(original, monkeypatch)
    path.write_bytes(original)
    if sealed:
        kih.seal(path)
    with open(path, "ab") as file:
        file.write(labels)
    with pytest.raises(kih.DamagedFileError) as caught:
        kih.verify(path)
    assert f"{len(labels)} bytes were appended after the archive" in str(caught.value)
    assert str(path.stat().st_size - len(labels)) in caught.value.remedy()
    model, extra = opening.open_archive_alone(str(path))
    with model:
        assert (model.seal is not None) is sealed
        assert model.content.read(0, model.content.size) == original
        assert extra.content(model.fd).read(0, extra.size) == labels


@pytest.mark.parametrize("sealed", [False, True])
def test_comment_is_named_and_told_apart(tmp_path: Path, sealed: bool) -> None:
    path, original = tmp_path / "m.keras", archive_bytes()
    path.write_bytes(original)
    if sealed:
        kih.seal(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = LABELS
    with pytest.raises(
        kih.DamagedFileError, match=f"the archive has a comment of {len(LABELS)} bytes"
    ):
        kih.verify(path)
    model, extra = opening.open_archive_alone(str(path))
    with model:
        assert (model.seal is not None) is sealed
        assert model.content.read(0, model.content.size) == original
        assert extra.content(model.fd).read(0, extra.size) == LABELS


@pytest.mark.parametrize(
    "data",
    [archive_bytes(), archive_bytes()[:-1], archive_bytes()[:40], b"PK\x03\x04", b""],
    ids=["nothing appended", "cut short", "cut in a member", "only a magic", "empty"],
)
def test_what_is_no_archive_with_something_appended_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(data)
    with pytest.raises(kih.DamagedFileError):
        opening.open_archive_alone(str(path))


def test_damaged_archive_before_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    data = archive_bytes()
    path.write_bytes(data.replace(b"config.json", b"config\njson", 1) + LABELS)
    with pytest.raises(kih.DamagedFileError, match="contradicts"):
        opening.open_archive_alone(str(path))
