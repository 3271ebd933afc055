# SPDX-License-Identifier: Apache-2.0
"""Files that are two formats at once: one for who inspects them, the other for who loads them.

A ZIP archive is found from its end and an HDF5 file at 0, 512, 1024, 2048, … (HDF5 File Format
Specification 3.0, II.A), so that one file can be both. Keras goes by the name: ``.keras`` and an
archive's end make it an archive, ``.h5`` an HDF5 file; tf_keras asks libhdf5 about any other name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from keras_integrity_hook.containers import hdf5, keras_zip
from keras_integrity_hook.inspection import hdf5_file
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.sealing.content import Content

_END, _END64, _ENTRY = b"PK\x05\x06", b"PK\x06\x07", b"PK\x01\x02"
_END_SIZE = 22
_TAIL = _END_SIZE + 0xFFFF  # the end of an archive, and the longest comment after it
_DIRECTORY_SIZE = struct.Struct("<12xI6x")


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """Findings about a whole file called ``name``, where its loader would see another format.

    Raises:
        DamagedFileError: it became shorter.
    """
    head = content.read(0, min(len(hdf5.SIGNATURE), content.size))
    if name.endswith(".keras"):
        if head == hdf5.SIGNATURE and _ends_as_archive(content):
            yield found("two-formats", "", "", "an HDF5 file that ends as a ZIP archive")
    elif keras_zip.recognises(head) and hdf5_file.has_superblock(content):
        yield found("two-formats", "", "", "a ZIP archive in which libhdf5 finds an HDF5 file")


def _ends_as_archive(content: Content) -> bool:
    """Whether ``zipfile`` would find a directory of members from the end of ``content``."""
    start = max(0, content.size - _TAIL)
    tail = content.read(start, content.size - start)
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        return False
    if tail[max(0, at - 20) : at].startswith(_END64):
        return True
    (size,) = _DIRECTORY_SIZE.unpack_from(tail, at)
    directory = start + at - size
    # Four bytes alone stand by chance in one of 65,000 files.
    return size > 0 and directory >= 0 and content.read(directory, 4) == _ENTRY
