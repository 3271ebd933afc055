# SPDX-License-Identifier: Apache-2.0
"""Text that a file brings along, made harmless where it is decoded.

Whoever writes a seal chooses the words in it. Printed as they are, a line feed forges a line of
the log, an escape sequence drives the terminal, and a bidirectional override turns around what is
read (CVE-2021-42574). So text leaves the decoder in one of two forms: what is only ever shown is
escaped, and what is compared or encoded again stays as it is and must hold no such character.
"""

from __future__ import annotations

import re

from keras_integrity_hook.errors import printable

# C0 and C1 controls, DEL, line and paragraph separators, bidirectional controls, lone surrogates.
# A fixed list: what str.isprintable says of a character changes with the version of Unicode.
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escaped(text: str) -> str:
    """``text`` for people: every character that is not printable as a backslash escape."""
    return text if text.isprintable() else printable(text)


def has_controls(text: str) -> bool:
    """Whether ``text`` holds a control character, which no name or date needs."""
    return not text.isprintable() and _CONTROL.search(text) is not None
