# SPDX-License-Identifier: Apache-2.0
"""Keras archives: any bytes are refused, or hold an original that has no second reading."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from keras_integrity_hook.containers import keras_zip
from keras_integrity_hook.saving import seal_writer
from tests.fuzz.harness import file_of, fuzz


def check(data: bytes) -> None:
    with file_of(data) as fd:
        found = keras_zip.locate(fd, len(data))
        original = found.content.read(0, found.content.size)
        if found.block is None:
            assert original == data
    with file_of(original) as fd:
        again = keras_zip.locate(fd, len(original))
        assert again.block is None, "a seal within a seal"
        assert again.members == found.members


def archive(*, zip64: bool = False) -> bytes:
    """An archive with the members of Keras, as zipfile writes it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            with file.open(name, "w", force_zip64=zip64) as member:
                member.write(name.encode() * 3)
    return stream.getvalue()


def sealed(plain: bytes) -> bytes:
    """``plain`` with a seal."""
    with file_of(plain) as fd:
        seal_writer.seal_in_place(fd, subject="model.keras")
        with open(fd, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()


def seeds() -> Iterator[bytes]:
    """Sealed and unsealed archives, with and without ZIP64 fields."""
    limit = zipfile.ZIP_FILECOUNT_LIMIT
    for zip64 in (False, True):
        yield archive(zip64=zip64)
        yield sealed(archive(zip64=zip64))
    # A patched threshold makes zipfile write the ZIP64 end records without 65,536 members.
    setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # noqa: B010 - a constant, for its typing
    yield archive()
    yield sealed(archive())
    setattr(zipfile, "ZIP_FILECOUNT_LIMIT", limit)  # noqa: B010


if __name__ == "__main__":
    fuzz(check, list(seeds()))
