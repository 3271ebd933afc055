# SPDX-License-Identifier: Apache-2.0
"""The block in the ``sitecustomize.py`` that this Python really loads.

It arms the finder where no ``.pth`` file does: in a directory on ``PYTHONPATH``, in a target of
``pip install --target``, after somebody took the start-up file away. Which file is loaded only an
interpreter can tell: Debian's ``/usr/lib/python3.X/sitecustomize.py`` hides one in site-packages,
and one on ``PYTHONPATH`` hides both. So a fresh one is asked, with ``-I`` for what every process
of this Python gets, and as the environment has it for what happens here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass

from keras_integrity_hook.activation import access, block
from keras_integrity_hook.errors import SiteError
from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS

_MARK = "keras-integrity-site:"
_SECONDS = 60
# The module that is loaded, or, where it failed, the one that would be. -P keeps the directory we
# happen to be in out of the search.
_QUESTION = f"""
import importlib.util, json, os, site, sys
loaded = sys.modules.get("sitecustomize")
spec = getattr(loaded, "__spec__", None) or importlib.util.find_spec("sitecustomize")
folders = [f for f in site.getsitepackages() if f in sys.path and os.path.isdir(f)]
origin = spec.origin if spec and spec.has_location else None
print({_MARK!r} + json.dumps([origin, folders]), flush=True)
"""


_ASK = f"Find out why this fails: {sys.executable} -I -c pass"
_CORRECT = "Correct the file by hand, and run the command again; it was not changed."
_INSTEAD = (
    "Where the package is installed with pip its own start-up file arms the hook, and the block is "
    "not needed: --policy-only sets up the machine's policy alone."
)


@dataclass(frozen=True)
class Customization:
    """A ``sitecustomize.py``.

    Attributes:
        path: what Python loads; the file to be made where ``exists`` is false; None where there is
            no site directory to make one in.
        exists: Python loads one.
        target: what ``path`` is a symbolic link to, or ``path``.
        block: what it holds of ours, or ``"unreadable"``.
    """

    path: str | None
    exists: bool
    target: str | None
    block: str

    @property
    def is_current(self) -> bool:
        return self.block == block.State.CURRENT

    @property
    def is_shared(self) -> bool:
        """Whether others than this environment load the file: it is not in it, as Debian's, which
        every virtual environment of Debian's Python loads, or it is a link out of it."""
        if self.target is None:
            return False
        is_link = self.path != self.target and os.path.islink(str(self.path))
        return is_link or not _is_below(self.target, os.path.realpath(sys.prefix))


def find(*, isolated: bool = True) -> Customization:
    """The file that a fresh interpreter loads.

    Args:
        isolated: with no ``PYTHON…`` variable and no user site directory in force, as with ``-I``;
            otherwise as in this process's environment.

    Raises:
        SiteError: the interpreter did not answer.
    """
    origin, folders = _ask(isolated=isolated)
    if origin is None:
        made = os.path.join(folders[0], "sitecustomize.py") if folders else None
        return Customization(made, False, made, block.State.ABSENT)
    target = os.path.realpath(origin)
    try:
        held = str(block.state(_read(target)))
    except SiteError:
        held = "unreadable"
    return Customization(origin, True, target, held)


@dataclass(frozen=True)
class Plan:
    """What an installation would do.

    Attributes:
        path: the file that is to hold the block.
        text: all of it, or None where there is nothing to do.
    """

    path: str
    text: bytes | None

    def carry_out(self) -> None:
        """Do it.

        Raises:
            SiteError: the file cannot be written; it is as it was.
        """
        if self.text is not None:
            _write(self.path, self.text)


def plan(*, force: bool = False) -> Plan:
    """How the block gets into the file; nothing is changed yet.

    Args:
        force: change a file that others than this environment load, too: Debian's is one. A link to
            it stays.

    Raises:
        SiteError: it cannot be changed.
    """
    path = _target(find(), force=force)
    before = _read(path) if os.path.lexists(path) else None
    try:
        after = block.NEW_FILE if before is None else block.insert(before)
    except ValueError as error:
        cause = f"the block does not go into the file: {error}"
        raise SiteError(cause, path=path, remedy=_CORRECT) from None
    return Plan(path, None if after == before else after)


def uninstall(*, force: bool = False) -> tuple[str | None, bool]:
    """Take the block out; a file that was made for it is removed.

    Returns:
        The file that Python loads, if any, and whether it was changed.

    Raises:
        SiteError: it cannot be changed; nothing was.
    """
    found = find()
    if not found.exists or found.block == block.State.ABSENT:
        return found.path if found.exists else None, False
    path = _target(found, force=force)
    text = _read(path)
    try:
        if block.is_ours_alone(text):
            _remove(path)
        else:
            _write(path, block.remove(text))
    except ValueError as error:
        raise SiteError(f"the file is left alone: {error}", path=path, remedy=_CORRECT) from None
    return path, True


def _ask(*, isolated: bool) -> tuple[str | None, list[str]]:
    import json
    import subprocess

    flags = ["-I"] if isolated else ["-P"]
    try:
        child = subprocess.run(
            [sys.executable, *flags, "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        cause = f"{sys.executable} cannot be asked: {error}"
        raise SiteError(cause, remedy=_ASK) from None
    for line in child.stdout.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            origin, folders = json.loads(line.removeprefix(_MARK))
            return origin, folders
    raise SiteError(f"{sys.executable} did not tell which sitecustomize it loads", remedy=_ASK)


def _target(found: Customization, *, force: bool) -> str:
    """The file to change.

    Raises:
        SiteError: there is none, it is no Python source, or others load it too and it is not
            forced.
    """
    if found.path is None or found.target is None:
        raise SiteError(f"{sys.executable} has no site directory", remedy=_INSTEAD)
    if not found.path.endswith(".py"):
        cause = "the sitecustomize in use is not a Python source file"
        raise SiteError(cause, path=found.path, remedy=_INSTEAD)
    if found.is_shared and not force:
        raise _shared(found)
    if not os.access(os.path.dirname(found.target), os.W_OK):
        cause = "the directory of the file cannot be written"
        raise SiteError(cause, path=found.target, remedy=access.remedy())
    return found.target


def _shared(found: Customization) -> SiteError:
    link = f"is a link to {found.target}, which " if found.path != found.target else "is what "
    in_environment = sys.prefix != sys.base_prefix and _is_below(str(found.path), sys.prefix)
    reach = (
        "others than this environment may load, too"
        if in_environment
        else f"every program of {_base()} loads, and every virtual environment made from it"
    )
    cause = link + reach
    remedy = f"--force changes it for all of them; 'site uninstall --force' undoes that. {_INSTEAD}"
    return SiteError(cause, path=found.path, remedy=remedy)


def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath([directory, path]) == directory


def _base() -> str:
    """The Python that environments are made from."""
    return getattr(sys, "_base_executable", None) or sys.executable


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(LIMITS.startup_file + 1)
    except OSError as error:
        cause = f"cannot be read: {error.strerror}"
        raise SiteError(cause, path=path, remedy=access.remedy()) from None
    if len(text) > LIMITS.startup_file:
        raise SiteError("too large for a sitecustomize.py", path=path, remedy=_INSTEAD)
    return text


def _write(path: str, text: bytes) -> None:
    try:
        with atomic.open_target(path) as target, atomic.private_file(target) as private:
            with open(private.create(), "wb") as file:
                file.write(text)
                # A new one is for everybody, whatever our umask.
                system.fchmod(file.fileno(), 0o644)
            private.put_in_place()
    except OSError as error:
        cause = f"cannot be written: {error.strerror}"
        raise SiteError(cause, path=path, remedy=access.remedy()) from None


def _remove(path: str) -> None:
    from importlib.util import cache_from_source

    try:
        os.unlink(path)
    except OSError as error:
        cause = f"cannot be removed: {error.strerror}"
        raise SiteError(cause, path=path, remedy=access.remedy()) from None
    with contextlib.suppress(OSError, NotImplementedError):
        os.unlink(cache_from_source(path))
