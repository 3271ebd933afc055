# SPDX-License-Identifier: Apache-2.0
"""The same model saved twice is the same bytes, where ``SOURCE_DATE_EPOCH`` says at what moment.

Of what Keras writes, an archive alone tells when: in the headers of its members, and in its
``metadata.json``. Both get the moment of the variable, in UTC, before the file is sealed.
"""

from __future__ import annotations

import re
import struct
import zlib
from datetime import datetime

from keras_integrity_hook.containers import keras_zip, zip_members
from keras_integrity_hook.containers.copying import write_all
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.saving.statement import source_date
from keras_integrity_hook.sealing.statement import Region

_DATE_SAVED = re.compile(rb'("date_saved": ")\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d"')
_METADATA = "metadata.json"
_LONGEST = 64 * 1024  # bytes of metadata; Keras writes about 64
_CENTRAL_SIZE, _CENTRAL_TIME, _CENTRAL_CRC = 46, 12, 16  # APPNOTE.TXT 4.3.12
_LOCAL_TIME, _LOCAL_CRC = 10, 14  # 4.3.7
_HAS_DESCRIPTOR = 0x0008
_FIRST, _LAST = 1980, 2107  # the years that a ZIP archive can tell


def settle_dates(fd: int) -> None:
    """Put the moment of ``SOURCE_DATE_EPOCH`` into a file that Keras has just written.

    Nothing is done where the variable is not set, or for what is no archive.

    Args:
        fd: open for reading and writing, nobody else's yet.

    Raises:
        DamagedFileError, LimitExceededError: it is no archive that Keras would load.
    """
    moment = source_date()
    if moment is None or not keras_zip.recognises(system.pread(fd, 4, 0)):
        return
    size = system.fstat(fd).st_size
    layout = keras_zip.locate(fd, size)
    directory = keras_zip.read_directory(fd, size)
    tail = bytearray(directory.tail)
    entries = tuple(zip_members.entries_of(bytes(tail[: directory.size]), directory.members))
    if any(entry.flags & _HAS_DESCRIPTOR for entry in entries):
        return  # written as a stream, with its sums elsewhere: nothing that Keras makes
    crc = _settle_metadata(fd, layout.members, moment)
    spelt = _spelt(moment)
    at = 0
    for entry in entries:
        tail[at + _CENTRAL_TIME : at + _CENTRAL_TIME + 4] = spelt
        write_all(fd, memoryview(spelt), entry.offset + _LOCAL_TIME)
        if crc is not None and entry.text == _METADATA:
            tail[at + _CENTRAL_CRC : at + _CENTRAL_CRC + 4] = crc
            write_all(fd, memoryview(crc), entry.offset + _LOCAL_CRC)
        at += _CENTRAL_SIZE + sum(struct.unpack_from("<HHH", tail, at + 28))
    write_all(fd, memoryview(bytes(tail)), directory.offset)


def _settle_metadata(fd: int, members: tuple[Region, ...], moment: datetime) -> bytes | None:
    """Rewrite the date in the metadata, which keeps its length; the member's new CRC, or None."""
    for member in members:
        if member.name == _METADATA and member.size <= _LONGEST:
            text = read_exactly(fd, member.size, member.offset)
            date = moment.strftime("%Y-%m-%d@%H:%M:%S").encode()
            settled, found = _DATE_SAVED.subn(rb"\g<1>" + date + b'"', text, count=1)
            if found and len(settled) == len(text):
                write_all(fd, memoryview(settled), member.offset)
                return struct.pack("<I", zlib.crc32(settled))
    return None


def _spelt(moment: datetime) -> bytes:
    """Time and date as MS-DOS spells them, two bytes each (APPNOTE.TXT 4.4.6)."""
    year = min(max(moment.year, _FIRST), _LAST)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    date = year - _FIRST << 9 | moment.month << 5 | moment.day
    return struct.pack("<HH", time, date)
