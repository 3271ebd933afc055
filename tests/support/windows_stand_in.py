# SPDX-License-Identifier: Apache-2.0
"""The calls of Windows that ``files.windows`` makes, played by Linux.

Only the system is played, never what is under test. What it is to be like is in Microsoft's
reference of the Win32 API: what a share mode lets others do, that an open directory without
FILE_SHARE_DELETE stays where it is, that Python opens files with FILE_SHARE_READ and _WRITE, and
what the text of a security descriptor looks like. A file is this user's below the directories in
``MINE``, and everywhere else whose it is on Linux; root plays the administrators.

Nothing here is imported by a test: a child installs it (:func:`install`) before anything else.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import io
import os
import shutil
import stat
import sys
import tempfile
import types
from typing import Any

USER = "S-1-5-21-1004336348-1177238915-682003330-1001"
MINE: list[str] = []
PROGRAM_DATA = ["/usr"]

_SHARE_READ, _SHARE_WRITE, _SHARE_DELETE = 1, 2, 4
_READ, _WRITE, _ADD_FILE = 0x80000000, 0x40000000, 0x2
_REPARSE_POINT, _BACKUP = 0x00200000, 0x02000000
_SHARING_VIOLATION = 32
_NUMBERS = {
    errno.ENOENT: 2,
    errno.ENOTDIR: 3,
    errno.EACCES: 5,
    errno.EPERM: 5,
    errno.EISDIR: 5,
    errno.EEXIST: 183,
    errno.ENOTEMPTY: 145,
    errno.ENOTSUP: 50,
    errno.EWOULDBLOCK: _SHARING_VIOLATION,
}
_ERRORS = {number: code for code, number in _NUMBERS.items()} | {2: errno.ENOENT, 5: errno.EACCES}
_HANDLES_FROM = 1 << 16
_INVALID = ctypes.c_void_p(-1).value

_real = types.SimpleNamespace(**{name: getattr(os, name) for name in dir(os)})
_shares: dict[int, tuple[int, int]] = {}  # descriptor: access and share mode
_kept: dict[int, Any] = {}  # memory that the system handed out
_failed = [0]


def install() -> None:
    """Be Windows: take away what it lacks, and add its calls."""
    ctypes.WinDLL = _Library  # type: ignore[attr-defined]
    ctypes.WinError = _error  # type: ignore[attr-defined]
    ctypes.get_last_error = lambda: _failed[0]  # type: ignore[attr-defined]
    ctypes.CDLL = _LibraryOfPosix  # type: ignore[misc]
    msvcrt: Any = types.ModuleType("msvcrt")
    msvcrt.open_osfhandle = lambda handle, flags: handle - _HANDLES_FROM
    msvcrt.get_osfhandle = lambda fd: fd + _HANDLES_FROM
    sys.modules["msvcrt"] = msvcrt
    os.stat, os.lstat, os.fstat = _stat, _lstat, _fstat  # type: ignore[assignment]
    os.open, os.close = _open, _close  # type: ignore[assignment]
    os.replace = os.rename = _replace  # type: ignore[assignment]
    os.unlink = os.remove = _unlink  # type: ignore[assignment]
    os.rmdir = _rmdir  # type: ignore[assignment]
    os.symlink = _symlink  # type: ignore[assignment]
    shutil.disk_usage = _disk_usage
    shutil._use_fd_functions = False  # type: ignore[attr-defined] # it was asked for on Linux
    builtins.open = io.open = _python_open
    tempfile.TemporaryFile = _temporary_file  # type: ignore[assignment]


_statvfs = os.statvfs


def _disk_usage(path: Any) -> Any:
    """As Python asks Windows, which is asked for the free space of a path."""
    found = _statvfs(path)
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return types.SimpleNamespace(total=total, used=total - free, free=free)


class _Library:
    """Any library: each function stands for one of Windows."""

    def __init__(self, name: str, use_last_error: bool) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        function = globals()[f"_{name}"]
        return lambda *given: function(*given)  # noqa: PLW0108, whose attributes are set


class _LibraryOfPosix(ctypes.CDLL):
    """There is none of no name, in which everything of the process could be found."""

    def __init__(self, name: Any, *given: Any, **named: Any) -> None:
        if name is None:
            raise TypeError("LoadLibrary() argument 1 must be str, not None")
        super().__init__(name, *given, **named)


def _error(number: int) -> OSError:
    code = _ERRORS.get(number, errno.EINVAL)
    made = OSError(code, os.strerror(code))
    made.winerror = number  # type: ignore[attr-defined]
    return made


def _fail(error: OSError) -> None:
    _failed[0] = _NUMBERS.get(error.errno or 0, 87)


def _busy(path: Any) -> PermissionError:
    return PermissionError(errno.EACCES, "used by another process", path)


def _fd(handle: Any) -> int:
    return int(getattr(handle, "value", handle)) - _HANDLES_FROM


# Sharing


def _open_here(status: os.stat_result) -> list[tuple[int, int, int]]:
    """Every descriptor of the file in this process: its number, access and share mode."""
    found = []
    for name in _real.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if not os.path.samestat(_real.fstat(fd), status):
                continue
            flags = fcntl.fcntl(fd, fcntl.F_GETFL)
        except OSError:
            continue
        if flags & os.O_ACCMODE == 0 and flags & 0o10000000:  # O_PATH: asks for no data
            continue
        write = flags & (os.O_WRONLY | os.O_RDWR)
        default = (_READ | (_WRITE if write else 0), _SHARE_READ | _SHARE_WRITE)
        found.append((fd, *_shares.get(fd, default)))
    return found


def _refuse_open(path: Any) -> None:
    """What is open without FILE_SHARE_DELETE can be neither renamed, replaced nor removed."""
    try:
        status = _real.lstat(path)
    except OSError:
        return
    if any(not share & _SHARE_DELETE for _, _, share in _open_here(status)):
        raise _busy(path)


def _conflicts(status: os.stat_result, access: int, share: int) -> bool:
    for _, has, shares in _open_here(status):
        if access & _WRITE and not shares & _SHARE_WRITE:
            return True
        if has & _WRITE and not share & _SHARE_WRITE:
            return True
    return False


# What Python's os does there


def _python_open(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
    if isinstance(file, str | bytes | os.PathLike):
        _refuse_proc(file)
        if set(mode) & set("wa+"):
            _refuse_writing(file)
    return _io_open(file, mode, *given, **named)


_io_open = io.open


def _temporary_file(mode: str = "w+b", **named: Any) -> Any:
    """Removed when the last descriptor of it is closed (O_TEMPORARY)."""
    fd, name = tempfile.mkstemp()
    _real.unlink(name)
    return _io_open(fd, mode)


def _refuse_proc(path: Any) -> None:
    if os.fsdecode(path).startswith("/proc/"):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _refuse_writing(path: Any) -> None:
    try:
        status = _real.stat(path)
    except OSError:
        return
    if _conflicts(status, _WRITE, _SHARE_READ | _SHARE_WRITE):
        raise _busy(path)


def _open(path: Any, flags: int, mode: int = 0o777) -> int:
    _refuse_proc(path)
    try:
        is_directory = stat.S_ISDIR(_real.stat(path).st_mode)
    except OSError:
        is_directory = False
    if is_directory:
        raise PermissionError(errno.EACCES, "a directory", path)
    if flags & (os.O_WRONLY | os.O_RDWR):
        _refuse_writing(path)
    return int(_real.open(path, flags | _real.O_CLOEXEC, 0o666))


def _close(fd: int) -> None:
    _shares.pop(fd, None)
    _real.close(fd)


def _shown(status: os.stat_result) -> os.stat_result:
    made: Any = status.__reduce__()
    shown, rest = made[1]
    rights = 0o777 if stat.S_ISDIR(status.st_mode) else 0o666
    mode = stat.S_IFMT(status.st_mode) | rights
    return os.stat_result((mode, *shown[1:4], 0, 0, *shown[6:]), rest)


def _stat(path: Any, *, dir_fd: None = None, follow_symlinks: bool = True) -> os.stat_result:
    if dir_fd is not None:
        raise NotImplementedError("dir_fd unavailable on this platform")
    if isinstance(path, int):
        return _fstat(path)
    _refuse_proc(path)
    return _shown(_real.stat(path, follow_symlinks=follow_symlinks))


def _lstat(path: Any, *, dir_fd: None = None) -> os.stat_result:
    return _stat(path, dir_fd=dir_fd, follow_symlinks=False)


def _fstat(fd: int) -> os.stat_result:
    return _shown(_real.fstat(fd))


def _replace(old: Any, new: Any) -> None:
    _refuse_open(old)
    _refuse_open(new)
    if os.path.isdir(new):
        raise PermissionError(errno.EACCES, "a directory is there", new)
    _real.replace(old, new)


def _unlink(path: Any, *, dir_fd: None = None) -> None:
    _refuse_open(path)
    _real.unlink(path)


def _rmdir(path: Any, *, dir_fd: None = None) -> None:
    _refuse_open(path)
    _real.rmdir(path)


def _symlink(target: Any, path: Any, target_is_directory: bool = False) -> None:
    raise OSError(errno.EPERM, "a required privilege is not held by the client", path)


# kernel32


def _CreateFileW(
    path: str, access: int, share: int, security: Any, how: int, flags: int, template: None
) -> Any:
    try:
        return _created(path, access, share, security is not None, how, flags)
    except OSError as error:
        _fail(error)
        return _INVALID


def _created(path: str, access: int, share: int, is_private: bool, how: int, flags: int) -> int:
    try:
        found = _real.stat(path, follow_symlinks=not flags & _REPARSE_POINT)
    except FileNotFoundError:
        found = None
    if found is not None and stat.S_ISDIR(found.st_mode):
        assert flags & _BACKUP, "FILE_FLAG_BACKUP_SEMANTICS is needed to open a directory"
        fd = _real.open(path, os.O_RDONLY)
        if access & _ADD_FILE:
            kind = fcntl.LOCK_SH if share & _SHARE_WRITE else fcntl.LOCK_EX
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
            except OSError:
                _real.close(fd)
                raise
    elif not access & (_READ | _WRITE) or (found is not None and stat.S_ISLNK(found.st_mode)):
        fd = _real.open(path, _real.O_PATH | (_real.O_NOFOLLOW if flags & _REPARSE_POINT else 0))
    else:
        if found is not None and _conflicts(found, access, share):
            raise OSError(errno.EWOULDBLOCK, "shared otherwise")
        fd = _real.open(path, _flags(access, how), 0o600 if is_private else 0o644)
    _shares[fd] = access, share
    return int(fd) + _HANDLES_FROM


def _flags(access: int, how: int) -> int:
    ways = {_READ: os.O_RDONLY, _WRITE: os.O_WRONLY, _READ | _WRITE: os.O_RDWR}
    made = {
        1: os.O_CREAT | os.O_EXCL,
        2: os.O_CREAT | os.O_TRUNC,
        3: 0,
        4: os.O_CREAT,
        5: os.O_TRUNC,
    }
    return int(ways[access & (_READ | _WRITE)] | made[how] | _real.O_CLOEXEC)


def _ReOpenFile(handle: Any, access: int, share: int, flags: int) -> Any:
    status = _real.fstat(_fd(handle))
    if _conflicts(status, access, share):
        _failed[0] = _SHARING_VIOLATION
        return _INVALID
    fd = _real.open(f"/proc/self/fd/{_fd(handle)}", os.O_RDONLY)
    _shares[fd] = access, share
    return fd + _HANDLES_FROM


def _CloseHandle(handle: Any) -> int:
    if getattr(handle, "value", handle) != 1:  # the token of this process
        _close(_fd(handle))
    return 1


def _CreateDirectoryW(path: str, security: Any) -> int:
    try:
        _real.mkdir(path, 0o700 if security is not None else 0o755)
    except OSError as error:
        _fail(error)
        return 0
    return 1


def _GetFinalPathNameByHandleW(handle: Any, text: Any, size: int, flags: int) -> int:
    text.value = "\\\\?\\" + _real.readlink(f"/proc/self/fd/{_fd(handle)}")
    return len(text.value)


def _GetFileInformationByHandleEx(handle: Any, kind: int, found: Any, size: int) -> int:
    mode = _real.fstat(_fd(handle)).st_mode
    found[0] = (0x10 if stat.S_ISDIR(mode) else 0) | (0x400 if stat.S_ISLNK(mode) else 0)
    return 1


def _GetVolumeInformationByHandleW(handle: Any, *given: Any) -> int:
    given[5].value = "NTFS"
    return 1


def _LockFileEx(handle: Any, how: int, *given: Any) -> int:
    kind = fcntl.LOCK_EX if how & 2 else fcntl.LOCK_SH
    try:
        fcntl.flock(_fd(handle), kind | (fcntl.LOCK_NB if how & 1 else 0))
    except OSError as error:
        _fail(error)
        return 0
    return 1


def _LocalFree(memory: Any) -> None:
    _kept.pop(memory.value, None)


def _GetCurrentProcess() -> int:
    return 1


# advapi32 and shell32


def _hand_out(text: str, reference: Any) -> int:
    memory = ctypes.create_unicode_buffer(text)
    _kept[ctypes.addressof(memory)] = memory
    reference._obj.value = ctypes.addressof(memory)
    return 1


def _OpenProcessToken(process: Any, access: int, token: Any) -> int:
    token._obj.value = 1
    return 1


def _GetTokenInformation(token: Any, kind: int, found: Any, size: int, needed: Any) -> int:
    found[0] = 1
    return 1


def _ConvertSidToStringSidW(sid: Any, text: Any) -> int:
    return _hand_out(USER, text)


def _GetSecurityInfo(handle: Any, kind: int, what: int, *given: Any) -> int:
    return _hand_out(_descriptor(_fd(handle)), given[-1]) - 1


def _ConvertSecurityDescriptorToStringSecurityDescriptorW(
    descriptor: Any, revision: int, what: int, text: Any, size: None
) -> int:
    return _hand_out(_kept[descriptor.value].value, text)


def _ConvertStringSecurityDescriptorToSecurityDescriptorW(
    text: str, revision: int, descriptor: Any, size: None
) -> int:
    return _hand_out(text, descriptor)


def _SetNamedSecurityInfoW(path: str, *given: Any) -> int:
    _real.chmod(path, 0o755 if os.path.isdir(path) else 0o644)
    return 0


def _SetFileSecurityW(path: str, *given: Any) -> int:
    _real.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
    return 1


def _IsUserAnAdmin() -> int:
    return 0


def _GetUserNameW(text: Any, size: Any) -> int:
    text.value = "ada"
    return 1


def _SHGetFolderPathW(window: None, number: int, token: None, flags: int, text: Any) -> int:
    text.value = {0x23: PROGRAM_DATA[0], 0x28: MINE[0] if MINE else "/"}[number]
    return 0


def _descriptor(fd: int) -> str:
    status, path = _real.fstat(fd), _real.readlink(f"/proc/self/fd/{fd}")
    is_mine = any(f"{path}/".startswith(f"{one}/") for one in MINE)
    owner = USER if is_mine or 0 != status.st_uid == _real.geteuid() else "BA"
    if owner == "BA" and status.st_uid:
        owner = f"S-1-5-21-1-1-1-{status.st_uid}"
    is_private = not status.st_mode & 0o077
    listed = "P" if is_private else "AI"
    inherited = "" if is_private else "ID"
    listed += "".join(f"(A;{inherited};FA;;;{who})" for who in dict.fromkeys(("SY", "BA", owner)))
    if status.st_mode & 0o022:
        is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        listed += f"(A;{inherited};{'DCLC' if is_sticky else '0x1301bf'};;;BU)"
    if status.st_mode & 0o044:
        listed += f"(A;{inherited};0x1200a9;;;BU)"
    return f"O:{owner}G:{owner}D:{listed}"
