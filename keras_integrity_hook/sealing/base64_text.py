# SPDX-License-Identifier: Apache-2.0
"""Base64 (RFC 4648, section 4) with one spelling for each value.

Python's decoder takes padding that is too long, and digits whose unused bits are set. What is
signed, hashed or compared must not have a second spelling that means the same.
"""

from __future__ import annotations

import base64


def decode(spelt: str) -> bytes:
    """The bytes that ``spelt`` spells; raises ValueError where it is not how they are spelt."""
    data = base64.b64decode(spelt, validate=True)
    # All but the last group of digits stands for itself and need not be compared.
    last = base64.b64encode(data[-(len(data) % 3 or 3) :]).decode("ascii")
    if len(spelt) != -(-len(data) // 3) * 4 or spelt[-4:] != last:
        raise ValueError("base64 that is not canonical")
    return data
