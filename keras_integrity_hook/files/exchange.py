# SPDX-License-Identifier: Apache-2.0
"""Two directories change places in one step, and what is the user's is brought along."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from keras_integrity_hook.errors import printable


def put_directory_in_place(
    source: Path,
    target: Path,
    is_replaced: Callable[[str], bool],
    *,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Let the directory ``source`` take the place of ``target``, which may not exist yet.

    What is in ``target`` and not replaced is kept: it may be anything of the user's.

    Args:
        is_replaced: whether a file of ``target``, by its path relative to it, belongs to the model
            that goes.
        finish: called before the places are swapped, when ``source`` has everything.

    Raises:
        OSError: ``target`` is as it was.
    """
    if not target.exists():
        finish()
        os.rename(source, target)
        return
    _bring_along(target, source, is_replaced)
    finish()
    with contextlib.suppress(PermissionError):
        old = os.stat(target)
        os.chmod(source, stat.S_IMODE(old.st_mode))
        os.chown(source, old.st_uid, old.st_gid)
    if _exchange(source, target):
        # Another program may have written into it meanwhile: its log, its event file.
        _bring_along(source, target, is_replaced)
        return  # the old one goes with the private directory it is in now
    _copy_into(source, target, is_replaced)


def _copy_into(source: Path, target: Path, is_replaced: Callable[[str], bool]) -> None:
    """For a place where directories cannot be exchanged (another system, a mount point)."""
    import logging

    logging.getLogger("keras_integrity_hook").warning(
        "save %s: the directory could not be exchanged, so its files are overwritten in place; "
        "a crash now would leave them damaged",
        printable(str(target)),
    )
    for folder, _, names in os.walk(target):
        for name in names:
            path = Path(folder, name)
            relative = path.relative_to(target)
            if is_replaced(str(relative)) and not os.path.lexists(source / relative):
                path.unlink()
    for folder, subfolders, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        for name in subfolders:
            (into / name).mkdir(exist_ok=True)
        for name in names:
            path = Path(folder, name)
            if not (into / name).exists() or not path.samefile(into / name):
                shutil.copyfile(path, into / name, follow_symlinks=False)


def holds_foreign_ground(top: Path) -> bool:
    """Whether something below ``top`` must not be moved: a mounted volume, an unreadable part."""
    try:
        device = os.stat(top).st_dev
        for folder, _, _ in os.walk(top, onerror=_raise):
            if os.stat(folder).st_dev != device or os.path.ismount(folder):
                return True
    except OSError:
        return True
    return False


def _raise(error: OSError) -> None:
    raise error


def _bring_along(old: Path, new: Path, is_replaced: Callable[[str], bool]) -> None:
    """Give ``new`` what of ``old`` it has not and is to keep: as links where that can be.

    Raises:
        OSError: some of it cannot be read.
    """
    for folder, subfolders, names in os.walk(old, onerror=_raise):
        linked = [name for name in subfolders if os.path.islink(os.path.join(folder, name))]
        for name in subfolders:
            path = Path(folder, name)
            kept = new / path.relative_to(old)
            if name not in linked and not os.path.lexists(kept):
                kept.mkdir()
                shutil.copystat(path, kept)
        for name in names + linked:
            path = Path(folder, name)
            kept = new / path.relative_to(old)
            if is_replaced(str(path.relative_to(old))) or os.path.lexists(kept):
                continue
            try:
                os.link(path, kept, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, kept, follow_symlinks=False)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths atomically (Linux, renameat2(2) RENAME_EXCHANGE); False where it cannot be."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
