# SPDX-License-Identifier: Apache-2.0
"""A store of fsspec's over local files, in which something happens at a certain operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fsspec.implementations.local import LocalFileSystem

SCHEME = "watched"


class WatchedFileSystem(LocalFileSystem):
    """``watched:///path`` is the local ``/path``.

    Attributes:
        before: called with the name and the path of each operation that reads or writes a file.
    """

    protocol = SCHEME
    cachable = False
    before: Callable[[str, str], None] = staticmethod(lambda operation, path: None)

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return "/" + str(path).removeprefix(f"{SCHEME}://").strip("/")

    def put_file(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> None:
        type(self).before("put", self._strip_protocol(rpath))
        super().put_file(lpath, rpath, *args, **kwargs)

    def mv(self, path1: Any, path2: Any, **kwargs: Any) -> None:
        type(self).before("move", self._strip_protocol(path2))
        super().mv(path1, path2, **kwargs)

    def rm_file(self, path: Any) -> None:
        type(self).before("remove", self._strip_protocol(path))
        super().rm_file(path)

    def open(self, path: Any, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        type(self).before("open", self._strip_protocol(path))
        return super().open(path, mode, *args, **kwargs)


def register() -> None:
    """Let fsspec know the scheme."""
    import fsspec

    fsspec.register_implementation(SCHEME, WatchedFileSystem, clobber=True)
