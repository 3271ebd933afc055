# SPDX-License-Identifier: Apache-2.0
"""Something was added to a sealed archive: the refusal says what, and there is a way out."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_integrity_hook import DamagedFileError, IntegrityWarning, SealWriteError, api
from tests.support.models import archive_bytes

LABELS = b"cat\ndog\n"


def append(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(LABELS)


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
    with pytest.warns(IntegrityWarning, match="from now on"):
        act()


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (append, "8 bytes were appended"),
        (comment, "has a comment of 8 bytes"),
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
    assert Path(f"{sealed}.appended").read_bytes() == LABELS


@pytest.mark.parametrize("command", [api.unseal, lambda path: api.reseal(path, reason="x")])
def test_file_that_is_there_is_not_overwritten_by_what_was_appended(
    sealed: Path, command: Callable[[Path], object]
) -> None:
    append(sealed)
    before = sealed.read_bytes()
    kept = Path(f"{sealed}.appended")
    kept.write_text("mine")
    with pytest.raises(SealWriteError, match="cannot be put"):
        command(sealed)
    assert (kept.read_text(), sealed.read_bytes()) == ("mine", before)


@pytest.mark.parametrize("add", [append, comment, add_member])
def test_reseal_with_a_reason_gives_a_model_that_matches(
    sealed: Path, add: Callable[[Path], None]
) -> None:
    add(sealed)
    if add is add_member:
        api.reseal(sealed, reason="labels for the service")
    else:
        mended(lambda: api.reseal(sealed, reason="labels for the service"))
    report = api.verify(sealed)
    assert report.seal is not None
    assert report.seal.provenance["resealed"] == "labels for the service"
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert ("labels.txt" in archive.namelist()) is (add is add_member)


def test_unseal_keeps_members_that_were_added(sealed: Path) -> None:
    add_member(sealed)
    api.unseal(sealed)
    with zipfile.ZipFile(sealed) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == LABELS
        assert len(archive.namelist()) == 5
    assert api.verify(sealed).state == "unsealed"
