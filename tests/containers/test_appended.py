# SPDX-License-Identifier: Apache-2.0
"""Something was added to a sealed archive: the refusal says what, and there is a way out."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_integrity_hook import DamagedFileError, IntegrityWarning, api
from tests.support.models import archive_bytes

LABELS = b"cat\ndog\n"


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(LABELS)


def append_another_archive(path: Path) -> None:
    """What is appended ends as an archive does, and is none of its own."""
    with open(path, "ab") as file:
        file.write(LABELS + b"PK\x05\x06" + bytes(18))


def comment(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = LABELS


def add_member(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", LABELS)
        archive.writestr("more.txt", LABELS)


@pytest.fixture
def sealed(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes())
    api.seal(path)
    return path


def mended(act: Callable[[], object]) -> None:
    with pytest.warns(IntegrityWarning, match="no member of the archive is taken away"):
        act()


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (append, "8 bytes were appended behind the end"),
        (comment, "a comment of 8 bytes was added"),
        (add_member, r"members were added behind the seal \(labels\.txt, more\.txt\)"),
    ],
)
def test_refusal_says_what_was_added_and_how_to_go_on(
    sealed: Path, add: Callable[[Path], None], expected: str
) -> None:
    add(sealed)
    with pytest.raises(DamagedFileError, match=expected) as caught:
        api.verify(sealed)
    assert "reseal --reason" in caught.value.remedy()
    assert "unseal" in caught.value.remedy()


@pytest.mark.parametrize("add", [append, comment])
def test_unseal_gives_back_what_keras_wrote(sealed: Path, add: Callable[[Path], None]) -> None:
    add(sealed)
    mended(lambda: api.unseal(sealed))
    assert sealed.read_bytes() == archive_bytes()


@pytest.mark.parametrize("add", [append, comment, add_member])
def test_reseal_with_a_reason_gives_a_model_that_matches(
    sealed: Path, add: Callable[[Path], None]
) -> None:
    add(sealed)
    mended(lambda: api.reseal(sealed, reason="labels for the service"))
    report = api.verify(sealed)
    assert report.seal is not None
    assert report.seal.provenance["resealed"] == "labels for the service"
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert ("labels.txt" in archive.namelist()) is (add is add_member)


def test_unseal_keeps_members_that_were_added(sealed: Path) -> None:
    add_member(sealed)
    mended(lambda: api.unseal(sealed))
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == LABELS
        assert len(archive.namelist()) == 5
    assert api.verify(sealed).state == "unsealed"


def test_unsealed_archive_with_appended_bytes_is_explained(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(archive_bytes())
    append(path)
    with pytest.raises(DamagedFileError, match="8 bytes were appended") as caught:
        api.verify(path)
    assert "truncate --size=-8" in caught.value.remedy()


def test_archive_inside_what_was_appended_is_not_taken_for_the_model(sealed: Path) -> None:
    append_another_archive(sealed)
    before = sealed.read_bytes()
    with pytest.raises(DamagedFileError):
        api.verify(sealed)
    with pytest.raises(DamagedFileError):
        api.seal(sealed)
    assert sealed.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 22, 200])
def test_archive_that_is_cut_short_is_still_that(sealed: Path, cut: int) -> None:
    data = sealed.read_bytes()
    sealed.write_bytes(data[:-cut])
    with pytest.raises(DamagedFileError, match=r"cut short|end record"):
        api.verify(sealed)
    with pytest.raises(DamagedFileError):
        api.unseal(sealed)
