# SPDX-License-Identifier: Apache-2.0
"""What Windows has instead of POSIX, by its own calls.

A directory that is open here cannot be renamed or removed, nor one above it, because it is opened
without ``FILE_SHARE_DELETE``. So its path, which the system is asked for each time, leads to it for
as long as it is open: that is what ``dir_fd`` is elsewhere. One of ours that is yet to be renamed
(``O_MOVABLE``) is this user's alone, so that nobody else does it.

A file that is opened once more with ``FILE_SHARE_READ`` alone is opened for writing by nobody until
that is closed: a lease that no writer can break. Nothing here is imported on another system.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from typing import Any

from keras_integrity_hook.files import windows_rights
from keras_integrity_hook.files.flags import O_BINARY, O_DIRECTORY, O_MOVABLE, O_NOFOLLOW
from keras_integrity_hook.files.windows_calls import Overlapped, Security, calls, number, refuse
from keras_integrity_hook.files.windows_rights import Rights

_READ, _WRITE = 0x80000000, 0x40000000  # GENERIC_READ, GENERIC_WRITE
_LIST, _ADD_FILE = 0x1, 0x2  # FILE_LIST_DIRECTORY, FILE_ADD_FILE
_READ_CONTROL, _READ_ATTRIBUTES = 0x20000, 0x80
_SHARE_READ, _SHARE_WRITE, _SHARE_DELETE = 1, 2, 4
_BACKUP_SEMANTICS, _OPEN_REPARSE_POINT = 0x02000000, 0x00200000
_CREATE_NEW, _CREATE_ALWAYS, _OPEN_EXISTING, _OPEN_ALWAYS, _TRUNCATE_EXISTING = 1, 2, 3, 4, 5
_IS_DIRECTORY, _IS_LINK = 0x10, 0x400  # FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT
_ATTRIBUTE_TAG = 9  # FileAttributeTagInfo
_FILE_OBJECT = 1  # SE_FILE_OBJECT
_OWNER, _LIST_OF_RIGHTS, _NOT_PROTECTED = 0x1, 0x4, 0x20000000
_PROTECTED = 0x80000000
_TOKEN_QUERY, _TOKEN_USER = 0x8, 1
_AT_ONCE, _EXCLUSIVE = 1, 2  # LOCKFILE_FAIL_IMMEDIATELY, LOCKFILE_EXCLUSIVE_LOCK
_FAR = 1 << 30  # the high half of an offset at which no file has bytes: readers are not kept out
_EMPTY_LIST = b"\x02\x00\x08\x00\x00\x00\x00\x00"  # an ACL without entries, revision 2
_FOR_OTHERS = 0o077
_KEEPING = ("NTFS", "ReFS")  # where a share mode holds for whoever opens the file
_PREFIX, _REMOTE = "\\\\?\\", "\\\\?\\UNC\\"
_PATH_AT_MOST = 1 << 15  # characters

_locks: dict[int, int] = {}  # descriptors of directories, and the handles by which they are locked
_leases: dict[int, int] = {}  # descriptors of files, likewise


def is_here() -> bool:
    """Whether this is a system with these calls."""
    return hasattr(ctypes, "WinDLL")


def open(path: str, flags: int, *, is_private: bool) -> int:
    """A descriptor of the file or directory at ``path``, which no child inherits.

    Args:
        flags: as of ``files.flags``.
        is_private: a file that is made is this user's alone.

    Raises:
        BlockingIOError: another has it open, and shares less than is asked for.
        OSError: as ``os.open``; ``ELOOP`` for a link where ``O_NOFOLLOW`` forbids one.
    """
    import msvcrt

    ways = {os.O_RDONLY: _READ, os.O_WRONLY: _WRITE | _READ_ATTRIBUTES | _READ_CONTROL}
    access = ways.get(flags & (os.O_WRONLY | os.O_RDWR), _READ | _WRITE)
    share = _SHARE_READ | _SHARE_WRITE | _SHARE_DELETE
    if flags & O_DIRECTORY:
        access = _LIST | _READ_ATTRIBUTES | _READ_CONTROL
        share &= ~(0 if flags & O_MOVABLE else _SHARE_DELETE)
    follow = _OPEN_REPARSE_POINT if flags & O_NOFOLLOW else 0
    handle = _handle(path, access, share, (_disposition(flags), follow), is_private=is_private)
    try:
        attributes = _attributes(handle)
        if attributes & _IS_LINK and flags & O_NOFOLLOW:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if flags & O_DIRECTORY and not attributes & _IS_DIRECTORY:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        kept = flags & (os.O_WRONLY | os.O_RDWR | os.O_APPEND) | O_BINARY | number("O_NOINHERIT")
        return int(msvcrt.open_osfhandle(handle, kept))  # type: ignore[attr-defined]
    except BaseException:
        calls().CloseHandle(handle)
        raise


def path_of(fd: int) -> str:
    """The path of what is open as ``fd``, without links. Raises OSError."""
    text = ctypes.create_unicode_buffer(_PATH_AT_MOST)
    length = calls().GetFinalPathNameByHandleW(_handle_of(fd), text, _PATH_AT_MOST, 0)
    if not 0 < length < _PATH_AT_MOST:
        refuse(f"<descriptor {fd}>")
    return text.value if text.value.startswith(_REMOTE) else text.value.removeprefix(_PREFIX)


def make_directory(path: str) -> None:
    """Make a directory that is this user's alone. Raises OSError."""
    if not calls().CreateDirectoryW(path, ctypes.byref(_private_security())):
        refuse(path)


def rights_of(fd: int, *, is_directory: bool) -> Rights:
    """Whose the open file is, as ``windows_rights`` says."""
    try:
        return windows_rights.of(_described(_handle_of(fd)), is_directory=is_directory)
    except OSError:
        return windows_rights.UNKNOWN


def rights_at(path: str, *, is_directory: bool, follow: bool) -> Rights:
    """Whose the file at ``path`` is; likewise."""
    share = _SHARE_READ | _SHARE_WRITE | _SHARE_DELETE
    flags = 0 if follow else _OPEN_REPARSE_POINT
    try:
        handle = _handle(path, _READ_CONTROL, share, (_OPEN_EXISTING, flags))
    except OSError:
        return windows_rights.UNKNOWN
    try:
        return windows_rights.of(_described(handle), is_directory=is_directory)
    except OSError:
        return windows_rights.UNKNOWN
    finally:
        calls().CloseHandle(handle)


def is_private(path: str) -> bool:
    """Whether the file at ``path`` takes no rights over from the directory around it."""
    handle = _handle(path, _READ_CONTROL, _SHARE_READ | _SHARE_WRITE)
    try:
        return windows_rights.is_private(_described(handle))
    finally:
        calls().CloseHandle(handle)


def inherit(path: str) -> None:
    """Give a file the rights of the directory around it, as if it had been made there.

    Raises:
        OSError: its rights cannot be changed.
    """
    listed = ctypes.create_string_buffer(_EMPTY_LIST, len(_EMPTY_LIST))
    what = _LIST_OF_RIGHTS | _NOT_PROTECTED
    failed = calls().SetNamedSecurityInfoW(path, _FILE_OBJECT, what, None, None, listed, None)
    if failed:
        refuse(path, failed)


def make_private(path: str) -> None:
    """Take the rights of others away from a file. Raises OSError."""
    descriptor = _private_security().descriptor
    if not calls().SetFileSecurityW(path, _LIST_OF_RIGHTS | _PROTECTED, descriptor):
        refuse(path)


def has_own_rights(fd: int) -> bool:
    """Whether somebody gave the open file rights that a new one in its place would not have."""
    described = _described(_handle_of(fd))
    rights = windows_rights.of(described, is_directory=False)
    return windows_rights.is_listed(described) and bool(rights.mode & _FOR_OTHERS)


def folder(number: int) -> str:
    """The path of a folder that the system has a number for (CSIDL). Raises OSError."""
    text = ctypes.create_unicode_buffer(_PATH_AT_MOST)
    failed = calls().SHGetFolderPathW(None, number, None, 0, text)
    if failed:
        refuse(f"<folder {number}>", failed)
    return text.value


def user_name() -> str | None:
    """The name of the user of this process."""
    text, size = ctypes.create_unicode_buffer(257), ctypes.c_uint32(257)
    return text.value if calls().GetUserNameW(text, ctypes.byref(size)) else None


@functools.cache
def user() -> int:
    """The number of this user: 0 for an administrator with all rights, as for root."""
    return windows_rights.ROOT if calls().IsUserAnAdmin() else windows_rights.number_of(_sid())


def lock(fd: int, *, shared: bool, wait: bool) -> None:
    """Lock the open file or directory until it is closed by :func:`close`, or its process ends.

    A directory is opened once more, for writing: by one alone, or by all who share it.

    Raises:
        BlockingIOError: another has it, and ``wait`` is False.
        OSError: there are no locks on this file system.
    """
    handle = _handle_of(fd)
    if _attributes(handle) & _IS_DIRECTORY:
        _lock_directory(fd, shared=shared, wait=wait)
        return
    how = (0 if shared else _EXCLUSIVE) | (0 if wait else _AT_ONCE)
    at = Overlapped(offset_high=_FAR)
    if not calls().LockFileEx(handle, how, 0, 1, 0, ctypes.byref(at)):
        refuse(f"<descriptor {fd}>")


def close(fd: int) -> None:
    """Close a descriptor, and what it is locked by."""
    handle = _locks.pop(fd, None)
    if handle is not None:
        calls().CloseHandle(handle)
    os.close(fd)


def lease(fd: int) -> None:
    """Keep everybody from writing to the open file until :func:`end_lease`.

    Raises:
        OSError: somebody has it open for writing, or the file system keeps nobody.
    """
    if not _is_kept(fd):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    handle = calls().ReOpenFile(_handle_of(fd), _READ, _SHARE_READ, 0)
    if handle in (None, ctypes.c_void_p(-1).value):
        refuse(f"<descriptor {fd}>")
    _leases[fd] = handle


def is_leased(fd: int) -> bool:
    """Whether :func:`lease` holds for it."""
    return fd in _leases


def end_lease(fd: int) -> None:
    """Let writers go on. Raises OSError where there is no lease."""
    handle = _leases.pop(fd, None)
    if handle is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    calls().CloseHandle(handle)


def _lock_directory(fd: int, *, shared: bool, wait: bool) -> None:
    import time

    path, share = path_of(fd), _SHARE_READ | _SHARE_DELETE | (_SHARE_WRITE if shared else 0)
    while True:
        try:
            _locks[fd] = _handle(path, _ADD_FILE, share)
        except BlockingIOError:
            if not wait:
                raise
            time.sleep(0.01)
        else:
            return


def _is_kept(fd: int) -> bool:
    name = ctypes.create_unicode_buffer(64)
    known = calls().GetVolumeInformationByHandleW(
        _handle_of(fd), None, 0, None, None, None, name, len(name)
    )
    return bool(known) and name.value in _KEEPING and not path_of(fd).startswith(_REMOTE)


def _disposition(flags: int) -> int:
    if flags & os.O_CREAT:
        if flags & os.O_EXCL:
            return _CREATE_NEW
        return _CREATE_ALWAYS if flags & os.O_TRUNC else _OPEN_ALWAYS
    return _TRUNCATE_EXISTING if flags & os.O_TRUNC else _OPEN_EXISTING


def _handle(
    path: str,
    access: int,
    share: int,
    how: tuple[int, int] = (_OPEN_EXISTING, 0),
    *,
    is_private: bool = False,
) -> int:
    """A handle; ``how`` is what happens to a file that is there or is not, and flags."""
    security = ctypes.byref(_private_security()) if is_private else None
    disposition, flags = how[0], how[1] | _BACKUP_SEMANTICS  # or no directory is opened
    handle = calls().CreateFileW(path, access, share, security, disposition, flags, None)
    if handle in (None, ctypes.c_void_p(-1).value):
        refuse(path)
    return int(handle)


def _handle_of(fd: int) -> int:
    import msvcrt

    return int(msvcrt.get_osfhandle(fd))  # type: ignore[attr-defined]


def _attributes(handle: int) -> int:
    found = (ctypes.c_uint32 * 2)()
    size = ctypes.sizeof(found)
    if not calls().GetFileInformationByHandleEx(handle, _ATTRIBUTE_TAG, found, size):
        refuse("")
    return found[0]


def _described(handle: int) -> str:
    """Owner and list of rights, as text. Raises OSError."""
    descriptor, text = ctypes.c_void_p(), ctypes.c_void_p()
    what, nothing = _OWNER | _LIST_OF_RIGHTS, (None, None, None, None)
    failed = calls().GetSecurityInfo(handle, _FILE_OBJECT, what, *nothing, ctypes.byref(descriptor))
    if failed:
        refuse("", failed)
    try:
        if not calls().ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor, 1, what, ctypes.byref(text), None
        ):
            refuse("")
        return _taken(text)
    finally:
        calls().LocalFree(descriptor)


@functools.cache
def _private_security() -> Security:
    """SECURITY_ATTRIBUTES of what is this user's alone; kept, as the calls refer to it."""
    descriptor = ctypes.c_void_p()
    if not calls().ConvertStringSecurityDescriptorToSecurityDescriptorW(
        windows_rights.private(_sid()), 1, ctypes.byref(descriptor), None
    ):
        refuse("")
    return Security(ctypes.sizeof(Security), descriptor, 0)


@functools.cache
def _sid() -> str:
    """The security identifier of the user of this process, as text. Raises OSError."""
    token, size, text = ctypes.c_void_p(), ctypes.c_uint32(), ctypes.c_void_p()
    if not calls().OpenProcessToken(calls().GetCurrentProcess(), _TOKEN_QUERY, ctypes.byref(token)):
        refuse("")
    try:
        found: Any = (ctypes.c_void_p * 64)()  # TOKEN_USER: a pointer to the identifier, first
        if not calls().GetTokenInformation(
            token, _TOKEN_USER, found, ctypes.sizeof(found), ctypes.byref(size)
        ) or not calls().ConvertSidToStringSidW(found[0], ctypes.byref(text)):
            refuse("")
    finally:
        calls().CloseHandle(token)
    return _taken(text)


def _taken(text: ctypes.c_void_p) -> str:
    """The text that the system has made, which is given back to it."""
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        calls().LocalFree(text)
