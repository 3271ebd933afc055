# SPDX-License-Identifier: Apache-2.0
"""A verified HDF5 file as Keras reads it, from which no way leads to another file."""

from __future__ import annotations

import contextlib
from typing import Any

from keras_integrity_hook.errors import ExternalReferenceError, LimitExceededError, printable
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.verification.verified_file import VerifiedFile

_SMALL = 4 * MIB
_BYTES_OF_A_LINK = 64  # with what it leads to; h5py takes 300 and more


def hdf5_over(file: VerifiedFile) -> Any:
    """An ``h5py.File`` that owns ``file``; raises ExternalReferenceError."""
    import h5py

    class VerifiedHDF5(h5py.File):  # type: ignore[misc]
        """Closes the file object below it: left open, it can crash the interpreter's exit."""

        @property
        def filename(self) -> str:
            """The path; Keras tells shards apart by it."""
            return file.path

        def close(self) -> None:
            super().close()
            file.close()

    opened = None
    if file.size <= _SMALL:
        # From memory libhdf5 needs no call back into Python for each of its many small reads.
        with contextlib.suppress(ValueError):
            opened = VerifiedHDF5(h5py.h5f.open_file_image(file.read()))
    if opened is None:
        # Where the image is none, this raises the OSError that Keras's callbacks wait for.
        opened = VerifiedHDF5(file, mode="r")
    try:
        refuse_external(opened, file.path)
    except BaseException:
        opened.close()
        raise
    file.over = opened
    return opened


def refuse_external(opened: Any, path: str | None) -> None:
    """Refuse an ``h5py.File`` whose links or data point to other files (CVE-2026-1669).

    Groups may share their lists of links, so that a small file describes a maze of millions of
    links: each takes a few dozen bytes where it is honest, and more than that are not followed.

    Raises:
        ExternalReferenceError: external link, external storage or virtual dataset.
        LimitExceededError: more links than a file of this size has.
    """
    # The low-level interface: the friendly one takes almost twice the time per variable.
    from h5py import h5g, h5l, h5o

    left = LIMITS.hdf5_links + opened.id.get_filesize() // _BYTES_OF_A_LINK
    pending = [opened.id]
    seen: set[Any] = set()
    while pending:
        group = pending.pop()
        links = _links(group, left)
        left -= len(links)
        if left < 0:
            raise LimitExceededError("the HDF5 file has more links than its size allows", path=path)
        for name, kind, address in links:
            if kind == h5l.TYPE_SOFT:
                continue  # stays inside this file; Keras decides about it
            if kind != h5l.TYPE_HARD:
                raise ExternalReferenceError(
                    f"'{_shown(name)}' is a link to another file", path=path
                )
            if address in seen:
                continue
            seen.add(address)
            child = h5o.open(group, name)
            if isinstance(child, h5g.GroupID):
                pending.append(child)
            elif _lies_elsewhere(child):
                raise ExternalReferenceError(
                    f"the data of '{_shown(name)}' lies in another file", path=path
                )


def _links(group: Any, left: int) -> list[tuple[bytes, int, Any]]:
    """Name, type and address of each link in ``group``, of ``left`` and one more at most."""
    links: list[tuple[bytes, int, Any]] = []

    def note(name: bytes, link: Any) -> bool | None:
        links.append((name, link.type, link.u))
        return True if len(links) > left else None  # anything but None ends the iteration

    group.links.iterate(note, info=True)
    return links


def _lies_elsewhere(child: Any) -> bool:
    """Whether an object is a dataset whose data is in other files."""
    from h5py import h5d

    if not isinstance(child, h5d.DatasetID):
        return False
    creation = child.get_create_plist()
    return bool(creation.get_layout() == h5d.VIRTUAL or creation.get_external_count())


def _shown(name: bytes) -> str:
    return printable(name.decode("utf-8", "replace"))
