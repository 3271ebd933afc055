# SPDX-License-Identifier: Apache-2.0
"""Members of an archive written a piece at a time, so that they are digested meanwhile.

Keras makes the weights of a ``.keras`` in memory and hands them to ``zipfile`` at once, which then
first computes the checksum of all of them and writes all of them after that. Piece by piece the
digests are computed beside both, and a piece is still in the processor's cache when it is written.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.limits import MIB
from keras_integrity_hook.saving.digested_writer import DigestedWriter

if TYPE_CHECKING:
    from zipfile import ZipFile
else:  # for those who look annotations up at run time
    ZipFile = object

_PIECE = MIB
_MODE = 0o600 << 16  # of a member, as writestr() of zipfile sets it


class MembersInPieces:
    """An archive open for writing, as ``zipfile.ZipFile`` is, but for :meth:`writestr`."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive

    def writestr(self, name: str, data: bytes) -> None:
        """Add ``data`` as the member ``name``, with what ``ZipFile.writestr`` says of it."""
        from zipfile import ZipInfo

        member = ZipInfo(name, date_time=time.localtime()[:6])
        member.compress_type = self._archive.compression
        member.external_attr = _MODE
        member.file_size = len(data)
        with self._archive.open(member, "w") as file, memoryview(data) as view:
            for start in range(0, len(view), _PIECE):
                file.write(view[start : start + _PIECE])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)


def is_digested(archive: ZipFile) -> bool:
    """Whether what ``archive`` writes is digested meanwhile."""
    return isinstance(getattr(archive.fp, "raw", None), DigestedWriter)
