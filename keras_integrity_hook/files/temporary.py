# SPDX-License-Identifier: Apache-2.0
"""Private directories where temporary files go (TMPDIR), gone with the process that made them.

The one of a process that was killed is removed by the next process that makes one there, see
:mod:`private_directory`: what lies in them is as large as models are, or as many.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from collections.abc import Iterator

from keras_integrity_hook.errors import InsecurePermissionsError
from keras_integrity_hook.files import location, permissions, portable, private_directory
from keras_integrity_hook.files.portable import system

_FOLDER = os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC


@contextlib.contextmanager
def private_folder(*, for_children: bool = False) -> Iterator[str]:
    """A directory of this user alone, removed at the end of the block with all that is in it.

    Its path leads there for this block, through a descriptor where those have paths: others may be
    able to rename what is not theirs there (no sticky bit), and put a directory of their own in its
    place. The last part is random, so that no later descriptor of the same number leads there.

    Args:
        for_children: other processes of this user go there, too, which have no such descriptor.
            They go through this process's where others can rename: a volume of Kubernetes
            (``emptyDir``) is open to all, without a sticky bit.

    Raises:
        InsecurePermissionsError: others can, and there is no path through a descriptor.
        OSError: there is no room, or no directory for temporary files.
    """
    with opened_folder() as (fd, path):
        inside = secrets.token_hex(8)
        system.mkdir(inside, 0o700, dir_fd=fd)
        has_paths = os.path.isdir(portable.DESCRIPTORS)
        if has_paths and not for_children:
            yield f"{portable.DESCRIPTORS}/{fd}/{inside}"
            return
        try:
            permissions.check_path(os.path.dirname(path))
        except InsecurePermissionsError:
            if not has_paths:
                raise
            yield f"/proc/{os.getpid()}/fd/{fd}/{inside}"
            return
        yield location.of(os.path.join(path, inside), location.KERAS).in_place


@contextlib.contextmanager
def opened_folder(prefix: str = private_directory.PREFIX) -> Iterator[tuple[int, str]]:
    """As :func:`private_folder`, for whoever goes by its descriptor: that, and its path by name,
    which is good only where nobody else can rename it. It holds a marker, and what is put there.

    Args:
        prefix: one of :mod:`private_directory`'s, with which its name begins.

    Raises:
        OSError: there is no room, or no directory for temporary files.
    """
    import tempfile

    temporary = os.path.realpath(tempfile.gettempdir())
    above = system.open(temporary, _FOLDER)
    try:
        with private_directory.fresh(above, prefix) as (fd, name):
            yield fd, os.path.join(temporary, name)
    finally:
        os.close(above)


def folder_of(owner: object) -> str:
    """A :func:`private_folder` that lives as long as ``owner``; raises as that does."""
    stack = contextlib.ExitStack()
    folder = stack.enter_context(private_folder())
    weakref.finalize(owner, _remove, stack, os.getpid())
    return folder


def link_directory(source: str, target: str) -> None:
    """Let what is in the directory ``source`` be in the new one ``target``, too."""
    import shutil

    shutil.copytree(source, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no links
        import shutil

        shutil.copyfile(source, target)


def _remove(folder: contextlib.ExitStack, process: int) -> None:
    if os.getpid() == process:  # else it is the parent's
        folder.close()
