# SPDX-License-Identifier: Apache-2.0
"""The functions of Windows that are called, with the types of what they take and give."""

from __future__ import annotations

import ctypes
import functools
import os
from types import SimpleNamespace
from typing import Any, NoReturn

_HANDLE = _POINTER = ctypes.c_void_p
_TEXT = ctypes.c_wchar_p
_WORD = ctypes.c_uint32  # DWORD, and the 32-bit ones that are signed
_SHARING_VIOLATION, _LOCK_VIOLATION = 32, 33

# The library, what is given back, and what is taken (Win32 API reference).
_SIGNATURES: dict[str, tuple[str, Any, tuple[Any, ...]]] = {
    "CreateFileW": ("kernel32", _HANDLE, (_TEXT, _WORD, _WORD, _POINTER, _WORD, _WORD, _HANDLE)),
    "ReOpenFile": ("kernel32", _HANDLE, (_HANDLE, _WORD, _WORD, _WORD)),
    "CloseHandle": ("kernel32", _WORD, (_HANDLE,)),
    "CreateDirectoryW": ("kernel32", _WORD, (_TEXT, _POINTER)),
    "GetFinalPathNameByHandleW": ("kernel32", _WORD, (_HANDLE, _TEXT, _WORD, _WORD)),
    "GetFileInformationByHandleEx": ("kernel32", _WORD, (_HANDLE, _WORD, _POINTER, _WORD)),
    "GetVolumeInformationByHandleW": (
        "kernel32",
        _WORD,
        (_HANDLE, _TEXT, _WORD, _POINTER, _POINTER, _POINTER, _TEXT, _WORD),
    ),
    "LockFileEx": ("kernel32", _WORD, (_HANDLE, _WORD, _WORD, _WORD, _WORD, _POINTER)),
    "LocalFree": ("kernel32", _POINTER, (_POINTER,)),
    "GetCurrentProcess": ("kernel32", _HANDLE, ()),
    "OpenProcessToken": ("advapi32", _WORD, (_HANDLE, _WORD, _POINTER)),
    "GetTokenInformation": ("advapi32", _WORD, (_HANDLE, _WORD, _POINTER, _WORD, _POINTER)),
    "ConvertSidToStringSidW": ("advapi32", _WORD, (_POINTER, _POINTER)),
    "GetSecurityInfo": ("advapi32", _WORD, (_HANDLE, _WORD, _WORD, *([_POINTER] * 5))),
    "SetNamedSecurityInfoW": ("advapi32", _WORD, (_TEXT, _WORD, _WORD, *([_POINTER] * 4))),
    "SetFileSecurityW": ("advapi32", _WORD, (_TEXT, _WORD, _POINTER)),
    "ConvertSecurityDescriptorToStringSecurityDescriptorW": (
        "advapi32",
        _WORD,
        (_POINTER, _WORD, _WORD, _POINTER, _POINTER),
    ),
    "ConvertStringSecurityDescriptorToSecurityDescriptorW": (
        "advapi32",
        _WORD,
        (_TEXT, _WORD, _POINTER, _POINTER),
    ),
    "GetUserNameW": ("advapi32", _WORD, (_TEXT, _POINTER)),
    "IsUserAnAdmin": ("shell32", _WORD, ()),
    "SHGetFolderPathW": ("shell32", _WORD, (_HANDLE, _WORD, _HANDLE, _WORD, _TEXT)),
}


class Security(ctypes.Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (
        ("length", _WORD),
        ("descriptor", _POINTER),
        ("inherited", ctypes.c_int),
    )


class Overlapped(ctypes.Structure):
    """OVERLAPPED."""

    _fields_ = (
        ("internal", _POINTER),
        ("internal_high", _POINTER),
        ("offset", _WORD),
        ("offset_high", _WORD),
        ("event", _HANDLE),
    )


@functools.cache
def calls() -> Any:
    """The functions, by name."""
    return SimpleNamespace(**{name: _function(name) for name in _SIGNATURES})


def number(flag: str) -> int:
    """A flag of ``os`` that Windows alone has."""
    return int(getattr(os, flag, 0))


def refuse(path: str, code: int | None = None) -> NoReturn:
    """Raise what the last call failed with, as Python does.

    Args:
        code: the number of the error, where the function gave it back itself.

    Raises:
        BlockingIOError: another has it open, or locked.
        OSError: anything else.
    """
    import errno

    failed: int = ctypes.get_last_error() if code is None else code  # type: ignore[attr-defined]
    if failed in (_SHARING_VIOLATION, _LOCK_VIOLATION):
        raise BlockingIOError(errno.EAGAIN, "another program has it open", path)
    error: OSError = ctypes.WinError(failed)  # type: ignore[attr-defined]
    error.filename = path or None
    raise error


def _function(name: str) -> Any:
    library, gives, takes = _SIGNATURES[name]
    function = getattr(_library(library), name)
    function.restype, function.argtypes = gives, takes
    return function


@functools.cache
def _library(name: str) -> Any:
    return ctypes.WinDLL(name, use_last_error=True)  # type: ignore[attr-defined]
