# SPDX-License-Identifier: Apache-2.0
"""Shapes and types of HDF5 datasets, as their object headers state them.

HDF5 File Format Specification v3, sections IV.A.2.b (dataspace) and IV.A.2.d (datatype). What is
not a plain number is not named: nobody trains it.
"""

from __future__ import annotations

import math
import struct

from keras_integrity_hook.limits import LIMITS

_INTEGER, _FLOAT, _ENUMERATION = 0, 1, 8
_FLOATS = {2: "float16", 4: "float32", 8: "float64"}


def shape(message: bytes) -> tuple[int, ...] | None:
    """The lengths that a dataspace message states; None where it is not understood."""
    version, rank = message[:2] if len(message) > 1 else (0, 0)
    begin = {1: 8, 2: 4}.get(version)
    if begin is None or rank > LIMITS.hdf5_rank or len(message) < begin + 8 * rank:
        return None
    return struct.unpack_from(f"<{rank}Q", message, begin)


def dtype(message: bytes) -> str:
    """The name that NumPy has for the numbers of a datatype message; empty for anything else."""
    if len(message) < 8:
        return ""
    kind, bits, size = message[0] & 0x0F, message[1], struct.unpack_from("<I", message, 4)[0]
    if kind == _ENUMERATION:
        return "bool" if size == 1 else ""  # as h5py stores NumPy's bool
    if bits & 1:
        return ""  # big-endian
    if kind == _FLOAT:
        return _FLOATS.get(size, "")
    if kind == _INTEGER and size in (1, 2, 4, 8):
        return f"{'int' if bits & 8 else 'uint'}{size * 8}"
    return ""


def itemsize(name: str) -> int:
    """Bytes of one number of the type ``name``, which :func:`dtype` gave; 1 for the empty name."""
    return 1 if name in ("", "bool") else int("".join(c for c in name if c.isdigit())) // 8


def fits(lengths: tuple[int, ...] | None, name: str, size: int) -> bool:
    """Whether numbers of the type ``name`` in an array of these ``lengths`` take ``size`` bytes."""
    return bool(name) and lengths is not None and math.prod(lengths) * itemsize(name) == size
