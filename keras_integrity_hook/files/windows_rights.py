# SPDX-License-Identifier: Apache-2.0
"""Owner and mode of a file on Windows, as POSIX would put what its access control list says.

So the rules about owners and modes are written once, for every system (``files.permissions``,
``files.root_owned``). On Windows a file is **whose it is to change**: root's if that is nobody but
the administrators and the system, a user's if it is one user besides them, and open to everybody
if it is more. A directory in which others may make files and take none away, as in ``ProgramData``,
has the sticky bit.

What is read is the text of a security descriptor, in the Security Descriptor Definition Language
([MS-DTYP] 2.5.1). Entries that deny are passed over, so that rights are never thought fewer than
they are; what cannot be read is open to everybody.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import re
import stat
from typing import NamedTuple

ROOT = 0
NOBODY = 65534
_ADMINISTRATORS = frozenset(
    {
        *("SY", "S-1-5-18"),  # the system itself
        *("BA", "S-1-5-32-544"),  # the group of administrators
        "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",  # Windows's installer
    }
)
_OWNER = frozenset({"OW", "S-1-3-4", "CO", "S-1-3-0"})
_GROUPS = frozenset({"S-1-1-0", "S-1-5-7", "S-1-5-11"})  # whose members nobody can list
_DESCRIPTOR = re.compile(r"O:(?P<owner>S-[\d-]+|[A-Z]{2}).*?(?:D:(?P<list>.*?))?(?:S:\(.*)?", re.S)
_ENTRY = re.compile(
    r"\(([A-Z]*);([A-Z]*);([^;]*);[^;]*;[^;]*;([^;)]*)(?:;[^()]*(?:\(.*?\))*[^()]*)?\)"
)
_NOT_INHERITED = re.compile(r"[A-Z]*P[A-Z]*")
# Rights of files by their letters; two of the same name mean different things in other objects.
_LETTERS = {
    "GA": 0x10000000,
    "GX": 0x20000000,
    "GW": 0x40000000,
    "GR": 0x80000000,
    "FA": 0x1F01FF,
    "FR": 0x120089,
    "FW": 0x120116,
    "FX": 0x1200A0,
    "RC": 0x20000,
    "SD": 0x10000,
    "WD": 0x40000,
    "WO": 0x80000,
    "CC": 0x1,
    "DC": 0x2,
    "LC": 0x4,
    "SW": 0x8,
    "RP": 0x10,
    "WP": 0x20,
    "DT": 0x40,
    "LO": 0x80,
    "CR": 0x100,
}
_ALL = 0xFFFFFFFF
_READ = 0x1 | 0x80000000 | 0x10000000
_ADD = 0x2 | 0x4 | 0x40000000  # write and append; in a directory: make files and directories
_TAKE = 0x10000 | 0x40000 | 0x80000 | 0x10000000  # delete it, or change its list or its owner
_TAKE_OUT = 0x40  # of a directory


class Rights(NamedTuple):
    """Whose a file is, and the bits of its mode.

    Attributes:
        uid: 0 for the administrators', else the number of a user.
        mode: permission bits.
    """

    uid: int
    mode: int


UNKNOWN = Rights(NOBODY, 0o777)


def number_of(sid: str) -> int:
    """The number that a user has here: no other has the same, and it is never 0."""
    if sid in _ADMINISTRATORS:
        return ROOT
    return 1 << 48 | int(hashlib.sha256(sid.encode()).hexdigest()[:12], 16)


def of(descriptor: str, *, is_directory: bool) -> Rights:
    """What the text of a security descriptor, with its owner and its list, says."""
    found = _DESCRIPTOR.fullmatch(descriptor)
    if found is None:
        return UNKNOWN
    owner, entries = found["owner"], _entries(found["list"])
    changing, adding, reading = {owner} - _ADMINISTRATORS, set[str](), set[str]()
    for who, rights in entries:
        trustee = owner if who in _OWNER else who
        if trustee in _ADMINISTRATORS:
            continue
        if rights & (_TAKE | (_TAKE_OUT if is_directory else _ADD)):
            changing.add(trustee)
        if rights & _ADD:
            adding.add(trustee)
        if rights & _READ:
            reading.add(trustee)
    return _rights(changing, adding, reading, is_directory=is_directory)


def private(sid: str) -> str:
    """The list of what is this user's alone, and the administrators'; nothing is inherited."""
    everybody = dict.fromkeys((sid, "SY", "BA"))
    return "D:P" + "".join(f"(A;OICI;FA;;;{who})" for who in everybody)


def is_private(descriptor: str) -> bool:
    """Whether a file keeps its own list and takes none over from the directory around it."""
    _, found, rest = descriptor.partition("D:")
    return bool(found) and _NOT_INHERITED.match(rest.split("(")[0]) is not None


def is_listed(descriptor: str) -> bool:
    """Whether a file has entries of its own, which it did not take over."""
    found = _DESCRIPTOR.fullmatch(descriptor)
    entries = _ENTRY.findall(found["list"] or "") if found is not None else [("", "", "", "")]
    return any("ID" not in _pairs(flags) for _, flags, _, _ in entries)


def _rights(
    changing: set[str], adding: set[str], reading: set[str], *, is_directory: bool
) -> Rights:
    mode = 0o700 if is_directory else 0o600
    users = {who for who in changing if _is_user(who)}
    is_ones_own = changing == users and len(users) <= 1
    if not is_ones_own:
        mode |= stat.S_IWGRP | stat.S_IWOTH
    elif adding - changing:
        mode |= stat.S_IWOTH | stat.S_ISVTX
    if reading - users or not is_ones_own:
        mode |= stat.S_IRGRP | stat.S_IROTH
    return Rights(number_of(users.pop()) if len(users) == 1 else ROOT, mode)


def _is_user(sid: str) -> bool:
    """Whether this can be one user: all groups that Windows comes with have short names."""
    return sid.startswith("S-1-") and sid not in _GROUPS and not sid.startswith("S-1-5-32-")


def _entries(text: str | None) -> list[tuple[str, int]]:
    """Who may do what; everybody everything where there is no list."""
    if text is None or "(" not in text:
        is_empty = text is not None and "NO_ACCESS_CONTROL" not in text
        return [] if is_empty else [("WD", _ALL)]
    if _ENTRY.sub("", text[text.index("(") :]).strip():
        return [("WD", _ALL)]
    return [
        (who, _bits(rights))
        for kind, flags, rights, who in _ENTRY.findall(text)
        if kind.endswith("A") and "IO" not in _pairs(flags)
    ]


def _bits(rights: str) -> int:
    """The rights of an entry as a number; all where one is not known."""
    try:
        if rights[:1].isdigit():
            return int(rights, 0)
        return functools.reduce(operator.or_, (_LETTERS[pair] for pair in _pairs(rights)), 0)
    except (KeyError, ValueError):
        return _ALL


def _pairs(letters: str) -> list[str]:
    return [letters[at : at + 2] for at in range(0, len(letters), 2)]
