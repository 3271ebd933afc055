# SPDX-License-Identifier: Apache-2.0
"""Names that strangers chose (a store, a seal), before they become those of files here."""

from __future__ import annotations

import os
from types import ModuleType

# To Windows these are devices, whatever directory they are in and however they end.
_DEVICES = {"aux", "con", "nul", "prn", "conin$", "conout$"}
_DEVICES |= {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}


def is_entry(name: str, rules: ModuleType = os.path) -> bool:
    r"""Whether ``name`` is that of one entry of a directory and leads nowhere else.

    Where drives have letters, ``..\x``, ``C:x`` and ``x:stream`` lead elsewhere, and so does what
    becomes another name without the dots and blanks at its end (``.. ``).

    Args:
        rules: of the system, ``posixpath`` or ``ntpath``.
    """
    if name in ("", ".", "..") or "\0" in name or rules.sep in name:
        return False
    if not rules.altsep:
        return True
    plain = name.rstrip(". ")
    is_device = plain.partition(".")[0].rstrip().lower() in _DEVICES
    return plain == name and not is_device and not {":", rules.altsep} & {*name}


def is_below(path: str, rules: ModuleType = os.path) -> bool:
    """Whether ``path``, of names with slashes between them, leads into a directory and not out of
    it; as :func:`is_entry`."""
    return all(is_entry(step, rules) for step in path.split("/"))
