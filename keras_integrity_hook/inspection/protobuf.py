# SPDX-License-Identifier: Apache-2.0
"""The wire format of protocol buffers, read without their library and without a schema's code.

protobuf.dev/programming-guides/encoding has it. A parser of TensorFlow's would build every message
in memory, and what is wanted here is a handful of fields of each. Nothing is copied or nested: a
message is where its bytes begin and end. Groups, which no format of ours has, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from keras_integrity_hook.errors import DamagedFileError, LimitExceededError
from keras_integrity_hook.limits import LIMITS

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]
"""Where the bytes of a message or text begin and end."""


class Wire:
    """A file of protocol buffers, and how many fields of it may still be looked at."""

    __slots__ = ("data", "left")

    def __init__(self, data: bytes) -> None:
        """All of the file."""
        self.data = data
        # A field takes two bytes at least, and is looked at a few times where it matters.
        self.left = min(LIMITS.inspected_steps, 20_000 + 4 * len(data))

    def spend(self, steps: int = 1) -> None:
        """Take from the budget; raises LimitExceededError."""
        self.left -= steps
        if self.left < 0:
            raise LimitExceededError("the file has more fields than an inspection reads")

    def fields(self, span: Span) -> Iterator[tuple[int, int, int]]:
        """Number, begin and end of each field of a message; of a number: its value, and -1.

        Raises:
            DamagedFileError: the bytes are no message, or end within a field.
            LimitExceededError: the budget is spent.
        """
        data = self.data
        at, stop = span
        while at < stop:
            self.left -= 1
            if self.left < 0:
                self.spend()
            # Most numbers take a byte or two, and calling a method takes longer than reading them.
            tag = data[at]
            tag, at = (tag, at + 1) if tag < 128 else self.varint(at, stop)
            wire = tag & 7
            if wire == BYTES and at < stop:
                length = data[at]
                if length < 128:
                    begin = at + 1
                elif at + 1 < stop and data[at + 1] < 128:
                    length += (data[at + 1] << 7) - 128
                    begin = at + 2
                else:
                    length, begin = self.varint(at, stop)
                at = begin + length
                if at > stop:
                    break
                yield tag >> 3, begin, at
            elif wire == VARINT:
                value, at = self.varint(at, stop)
                yield tag >> 3, value, -1
            elif wire in (FIXED64, FIXED32):
                at += 8 if wire == FIXED64 else 4
            else:
                raise DamagedFileError("a field of a kind that nobody writes")
        if at != stop:
            raise DamagedFileError("a message is cut short")

    def varint(self, at: int, stop: int) -> tuple[int, int]:
        """A number of up to ten bytes, and where it ends; raises DamagedFileError."""
        value = shift = 0
        data = self.data
        while at < stop and shift < 70:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
        raise DamagedFileError("a number has no end")

    def spans(self, span: Span, number: int) -> Iterator[Span]:
        """The messages or texts of the field ``number``; raises as :meth:`fields`."""
        wanted = number << 3 | BYTES
        data = self.data
        at, stop = span
        # Most fields are texts and messages of fewer than 128 bytes, or of fewer than 16 KiB, and
        # a step of the generator below takes longer than passing over one.
        while at + 2 < stop and data[at] & 0x87 == BYTES:
            tag, length = data[at], data[at + 1]
            begin = at + 2
            if length > 127:
                if data[begin] > 127:
                    break
                length += (data[begin] << 7) - 128
                begin += 1
            if begin + length > stop:
                break
            self.left -= 1
            at = begin + length
            if tag == wanted:
                yield begin, at
        if self.left < 0:
            self.spend()
        for one, begin, end in self.fields((at, stop)) if at < stop else ():
            if one == number and end >= 0:
                yield begin, end

    def texts(self, span: Span, number: int) -> Iterator[str]:
        """The texts of the field ``number``; raises as :meth:`fields`."""
        for begin, end in self.spans(span, number):
            yield self.data[begin:end].decode("utf-8", "replace")

    def text(self, span: Span, number: int) -> str:
        """The last of them, which is the one that counts; empty if there is none."""
        spans = list(self.spans(span, number))
        begin, end = spans[-1] if spans else (0, 0)
        return self.data[begin:end].decode("utf-8", "replace")
