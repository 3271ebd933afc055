# SPDX-License-Identifier: Apache-2.0
"""The weights in a sealed ``.keras`` are read where they lie.

Keras copies them to memory, has ``zipfile`` compute a checksum of the copy, and has HDF5 read that.
Copy and checksum take longer than the digests that the seal has of the same bytes, and add nothing
to them. What a member is packed in, and where it begins, was compared when the archive was opened:
see :mod:`containers.zip_members`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.hooks.calls import Args, Function, Kwargs
from keras_integrity_hook.loading import in_progress
from keras_integrity_hook.saving import in_progress as saving
from keras_integrity_hook.verification.verified_file import VerifiedFile, VerifiedMember

if TYPE_CHECKING:
    from zipfile import ZipFile
else:  # for those who look annotations up at run time
    ZipFile = object

_WEIGHTS = "model.weights.h5"
_LOCAL = struct.Struct("<4s22xHH")  # lengths of name and extra field: APPNOTE 6.3.10, 4.3.7


def fits_in_memory(wrapped: Function, instance: Any, args: Args, kwargs: Kwargs) -> Any:
    """``saving_lib.is_memory_sufficient``: not for weights that can be read where they lie."""
    if not saving.is_saving() and any(map(_has_them_as_they_are, in_progress.current().files)):
        return False
    return wrapped(*args, **kwargs)


def in_place(archive: ZipFile, name: str) -> VerifiedMember | None:
    """The member ``name`` of an ``archive`` that has a seal, where it is stored as it is.

    Raises:
        IntegrityError: its header is not what was sealed.
    """
    file, place = archive.fp, _place(archive, name)
    return file.member(*place) if place is not None and isinstance(file, VerifiedFile) else None


def _has_them_as_they_are(file: VerifiedFile) -> bool:
    from zipfile import BadZipFile, ZipFile

    try:
        with ZipFile(file) as archive:
            return _place(archive, _WEIGHTS) is not None
    except BadZipFile:
        return False


def _place(archive: ZipFile, name: str) -> tuple[int, int] | None:
    """Where the member begins, and its size (bytes)."""
    file, member = archive.fp, archive.NameToInfo.get(name)
    if not isinstance(file, VerifiedFile) or file.seal is None:
        return None
    if member is None or member.compress_type:
        return None
    file.seek(member.header_offset)
    magic, *lengths = _LOCAL.unpack(file.read(_LOCAL.size))
    start = member.header_offset + _LOCAL.size + sum(lengths)
    if magic != b"PK\x03\x04" or start + member.file_size > file.size:
        return None
    return start, member.file_size
