# SPDX-License-Identifier: Apache-2.0
"""The import finder: it stands first, and wakes the watch when Keras or TensorFlow is imported.

It stays on ``sys.meta_path`` for good, unlike ``wrapt.register_post_import_hook``, whose hooks are
popped before they run: there a second ``import keras``, a reload or a purge of ``sys.modules``
would go unpatched.

This module runs at every interpreter start, and it alone: a start-up file loads it without the
packages that it lies in. So it holds what a program without Keras needs, the rest being in
``watching``, and imports nothing that is not loaded already; even ``from __future__ import
annotations`` would be one more file to read.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from keras_integrity_hook.activation.watching import Watch

    GiveWatch = Callable[[], Watch]
else:  # for those who look annotations up at run time
    Any = GiveWatch = ModuleSpec = ModuleType = Watch = object

HOSTS = frozenset({"keras", "keras_hub", "tensorflow", "tf_keras"})
"""The packages that have modules to watch."""

_PACKAGE = __name__.partition(".")[0]
_DEPTH = 3  # of this file below the directory that the package lies in


class Finder:
    """A meta path finder that asks a watch about some packages, and knows nothing of others.

    Args:
        hosts: names of the packages that are watched.
        watch: gives the watch; called when one of them, or a module of it, is imported. What it
            raises fails the import.
    """

    def __init__(self, hosts: "frozenset[str]", watch: "GiveWatch") -> None:
        self._hosts = hosts
        self._watch = watch

    def find_spec(
        self, fullname: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """The spec that the watch gives, and that of our own modules; None for any other."""
        if sys.meta_path[0] is not self:
            self._regain_front()
        # A miss (no module of a host, or of ours) is what nearly every import is.
        top = fullname.partition(".")[0]
        if top in self._hosts:
            return self._watch().find_spec(self, fullname, path, target)
        return _of_ours(fullname, path) if top == _PACKAGE else None

    def _regain_front(self) -> None:
        """Go back in front of a finder that was inserted later and could serve watched modules.

        One assignment, so that another thread's import never sees the list without a finder.
        """
        if self not in sys.meta_path:
            return  # disarmed, and a thread that was in the middle of an import still asks
        sys.meta_path[:] = [self, *[other for other in sys.meta_path if other is not self]]
        if sys.modules.keys() & self._hosts:
            self._watch().catch_up()  # on what the finder in front of us may have served


def arm() -> None:
    """Put the finder first on ``sys.meta_path``: what the start-up files call.

    Idempotent, because a venv runs its start-up files twice. No setting is read: an exception in a
    start-up file is printed and forgotten, so a decision made here would fail open. The decisions
    are made when a host is imported.
    """
    if _FINDER in sys.meta_path:
        return
    # Purging and importing this package again makes a second finder; one is enough.
    sys.meta_path[:] = [
        _FINDER,
        *[other for other in sys.meta_path if type(other).__module__ != __name__],
    ]


def disarm() -> None:
    """Take the finder off ``sys.meta_path``; does nothing where it is not on it."""
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def is_armed() -> bool:
    """Whether the finder is on ``sys.meta_path``."""
    return _FINDER in sys.meta_path


def _of_ours(fullname: str, path: "Any") -> "ModuleSpec | None":
    """The spec of a module of this package: of the one that this file belongs to, as it is written.

    A start-up file loads this module alone. What on ``sys.path`` comes before the package, and has
    its name, must not be taken for it when the rest is imported. And a path hook that rewrites what
    is imported (``beartype_all``, say) would have every call in here checked by rules that were not
    made for it, and what it raises is no refusal.
    """
    import _frozen_importlib_external as external
    import os

    if fullname == _PACKAGE:
        path = [__file__.replace("\\", "/").rsplit("/", _DEPTH)[0]]
    name = fullname.rpartition(".")[2]
    for directory in path or ():
        package = f"{directory}/{name}"
        for file, below in ((f"{package}/__init__.py", [package]), (f"{package}.py", None)):
            if os.path.isfile(file):
                loader = external.SourceFileLoader(fullname, file)
                return external.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=below
                )
    return None  # in an archive, or without its source


def _keras() -> "Watch":
    from keras_integrity_hook.activation.watching import KERAS

    return KERAS


_FINDER = Finder(HOSTS, _keras)
