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
            # Most numbers take one byte, and the call of a method takes longer than reading it.
            tag = data[at]
            tag, at = (tag, at + 1) if tag < 128 else self.varint(at, stop)
            wire = tag & 7
            if wire == BYTES and at < stop:
                length = data[at]
                length, at = (length, at + 1) if length < 128 else self.varint(at, stop)
                begin, at = at, at + length
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
        for one, begin, end in self.fields(span):
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
