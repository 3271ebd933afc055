# SPDX-License-Identifier: Apache-2.0
"""Arrays in shared memory: ``.npy`` streams one after another, in a file that only memory holds.

The header is read once, into memory of our own, and judged before anything is allocated: the other
side may write while we read. Objects are neither written nor read, so nothing is unpickled
(``numpy.lib.format``, NEP 1). Each array begins where a vector register could be loaded from.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    DType = np.dtype[Any]
else:  # for those who look annotations up at run time
    Array = DType = object

_ALIGNED = 64  # bytes; numpy's own headers end there too
_KINDS = frozenset("biufcSU")  # no objects, no structures, no raw bytes, no dates
_AT_ONCE = 1 << 30  # bytes; Linux reads and writes no more than 2 GiB at once
# Types of ml_dtypes have no letter in .npy: each travels as numbers of its size.
_BY_NAME = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}


def plain(value: Any) -> Array:
    """``value`` as an array that can be written: numbers, or text.

    Raises:
        TypeError: it has objects of other kinds.
    """
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind == "O":
        array = _texts(array)
    if array.dtype.kind not in _KINDS and array.dtype.name not in _BY_NAME:
        raise TypeError(f"an array of {array.dtype} is neither numbers nor text")
    return np.ascontiguousarray(array) if array.ndim else array


def _texts(array: Array) -> Array:
    """An array of objects as one of texts. Raises TypeError: something else is in it."""
    kinds = {type(each) for each in array.flat}
    if kinds <= {str}:
        return array.astype(str)
    if kinds <= {bytes}:
        return array.astype(bytes)
    names = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise TypeError(f"an array of objects ({names}) is neither numbers nor text")


class Packed:
    """Arrays, ready to be written.

    Attributes:
        size: bytes that they take.
        names: of the type of each, where ``.npy`` has none for it, else "".
    """

    def __init__(self, arrays: Sequence[Array]) -> None:
        """``arrays`` are as :func:`plain` gives them."""
        self.names = [array.dtype.name if array.dtype.name in _BY_NAME else "" for array in arrays]
        self._arrays = [
            array.view(_BY_NAME[name]) if name else array
            for array, name in zip(arrays, self.names, strict=True)
        ]
        self._headers = [_header(array) for array in self._arrays]
        sizes = (
            _aligned(len(header) + array.nbytes)
            for header, array in zip(self._headers, self._arrays, strict=True)
        )
        self.size = sum(sizes)

    def write(self, put: Callable[[int, memoryview], None]) -> None:
        """Write all with ``put(offset, bytes)``."""
        offset = 0
        for header, array in zip(self._headers, self._arrays, strict=True):
            put(offset, memoryview(header))
            if array.nbytes:
                put(offset + len(header), _bytes_of(array))
            offset += _aligned(len(header) + array.nbytes)


def write_to(fd: int) -> Callable[[int, memoryview], None]:
    """A function for :meth:`Packed.write` that writes into the file behind ``fd``."""

    def put(offset: int, data: memoryview) -> None:
        while data:
            written = os.pwrite(fd, data[:_AT_ONCE], offset)
            data, offset = data[written:], offset + written

    return put


def read(fd: int, size: int, names: Sequence[str]) -> Iterator[Array]:
    """The arrays in the first ``size`` bytes behind ``fd``, one for each of ``names``.

    Raises:
        BrokenChannelError: they are not there, or are not plain arrays.
    """
    offset = 0
    for name in names:
        array, offset = _read_one(fd, offset, size)
        yield _named(array, name)


def _read_one(fd: int, offset: int, size: int) -> tuple[Array, int]:
    import numpy as np

    shape, is_fortran, dtype, header = _read_header(fd, offset)
    count = 1
    for length in shape:
        count *= length
    start = offset + header
    is_plain = not is_fortran and dtype.kind in _KINDS and dtype.itemsize > 0
    if not is_plain or dtype.itemsize * count > size - start:
        raise BrokenChannelError("no plain array")
    array: Array = np.empty(shape, dtype)
    if array.nbytes:
        _fill(fd, start, _bytes_of(array))
    return array, offset + _aligned(header + array.nbytes)


def _read_header(fd: int, offset: int) -> tuple[tuple[int, ...], bool, DType, int]:
    from numpy.lib import format as npy

    stream = io.BytesIO(os.pread(fd, LIMITS.array_header, offset))
    try:
        if npy.read_magic(stream) != (1, 0):
            raise BrokenChannelError("no array")
        shape, is_fortran, dtype = npy.read_array_header_1_0(
            stream, max_header_size=LIMITS.array_header
        )
    # Its parser is Python's own, which gives up on hostile text in many ways.
    except Exception as error:
        raise BrokenChannelError("no array") from error
    if any(type(length) is not int or length < 0 for length in shape):
        raise BrokenChannelError("no array")
    return shape, is_fortran, dtype, stream.tell()


def _bytes_of(array: Array) -> memoryview:
    """The memory of ``array``, which lies in one piece."""
    return memoryview(array.reshape(-1).view("u1").data)


def _fill(fd: int, offset: int, buffer: memoryview) -> None:
    while buffer:
        count = os.preadv(fd, [buffer[:_AT_ONCE]], offset)
        if count <= 0:
            raise BrokenChannelError("an array is cut short")
        buffer, offset = buffer[count:], offset + count


def _named(array: Array, name: str) -> Array:
    """``array`` as of the type ``name``, one of those that travel as numbers."""
    if not name:
        return array
    if array.dtype.name != _BY_NAME.get(name):
        raise BrokenChannelError("no plain array")
    import ml_dtypes

    return array.view(getattr(ml_dtypes, name))


def _header(array: Array) -> bytes:
    from numpy.lib import format as npy

    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, npy.header_data_from_array_1_0(array))
    header = stream.getvalue()
    if len(header) > LIMITS.array_header:
        raise TypeError("an array of too many dimensions")
    return header


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
