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

from keras_integrity_hook.activation import block
from keras_integrity_hook.errors import SiteError
from keras_integrity_hook.files import atomic
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
        force: change the file behind a symbolic link, too; the link stays. Debian's is one.

    Raises:
        SiteError: it cannot be changed.
    """
    path = _target(find(), force=force)
    before = _read(path) if os.path.lexists(path) else None
    try:
        after = block.NEW_FILE if before is None else block.insert(before)
    except ValueError as error:
        raise SiteError(f"the block does not go into the file: {error}", path=path) from None
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
        raise SiteError(f"the file is left alone: {error}", path=path) from None
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
        raise SiteError(f"{sys.executable} cannot be asked: {error}") from None
    for line in child.stdout.decode(errors="replace").splitlines():
        if line.startswith(_MARK):
            origin, folders = json.loads(line.removeprefix(_MARK))
            return origin, folders
    raise SiteError(f"{sys.executable} did not tell which sitecustomize it loads")


def _target(found: Customization, *, force: bool) -> str:
    """The file to change.

    Raises:
        SiteError: there is none, it is no Python source, or a link and not forced.
    """
    if found.path is None or found.target is None:
        raise SiteError(f"{sys.executable} has no site directory")
    if not found.path.endswith(".py"):
        raise SiteError("the sitecustomize in use is not a Python source file", path=found.path)
    if found.target != found.path and os.path.islink(found.path) and not force:
        raise SiteError(
            f"a symbolic link to {found.target}, which others may use too; --force changes that",
            path=found.path,
        )
    if not os.access(os.path.dirname(found.target), os.W_OK):
        raise SiteError("the directory of the file cannot be written", path=found.target)
    return found.target


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            text = file.read(LIMITS.startup_file + 1)
    except OSError as error:
        raise SiteError(f"cannot be read: {error.strerror}", path=path) from None
    if len(text) > LIMITS.startup_file:
        raise SiteError("too large for a sitecustomize.py", path=path)
    return text


def _write(path: str, text: bytes) -> None:
    try:
        with atomic.open_target(path) as target, atomic.private_file(target) as private:
            with open(private.create(), "wb") as file:
                file.write(text)
                os.fchmod(file.fileno(), 0o644)  # a new one is for everybody, whatever our umask
            private.put_in_place()
    except OSError as error:
        raise SiteError(f"cannot be written: {error.strerror}", path=path) from None


def _remove(path: str) -> None:
    from importlib.util import cache_from_source

    try:
        os.unlink(path)
    except OSError as error:
        raise SiteError(f"cannot be removed: {error.strerror}", path=path) from None
    with contextlib.suppress(OSError, NotImplementedError):
        os.unlink(cache_from_source(path))
