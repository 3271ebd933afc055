# SPDX-License-Identifier: Apache-2.0
"""A verified HDF5 file as Keras reads it, from which no way leads to another file."""

from __future__ import annotations

import contextlib
from typing import Any

from keras_integrity_hook.errors import ExternalReferenceError, printable
from keras_integrity_hook.limits import MIB
from keras_integrity_hook.verification.verified_file import VerifiedFile

_SMALL = 4 * MIB


def hdf5_over(file: VerifiedFile) -> Any:
    """An ``h5py.File`` that owns ``file``; raises ExternalReferenceError."""
    import h5py

    class VerifiedHDF5(h5py.File):  # type: ignore[misc]
        """Closes the file object below it: left open, it can crash the interpreter's exit."""

        @property
        def filename(self) -> str:
            """The path; Keras tells shards apart by it."""
            return str(file)

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
        refuse_external(opened, str(file))
    except BaseException:
        opened.close()
        raise
    file.over = opened
    return opened


def refuse_external(opened: Any, path: str | None) -> None:
    """Refuse an ``h5py.File`` whose links or data point to other files (CVE-2026-1669).

    Raises:
        ExternalReferenceError: external link, external storage or virtual dataset.
    """
    # The low-level interface: the friendly one takes almost twice the time per variable.
    from h5py import h5d, h5g, h5l, h5o

    pending = [opened.id]
    seen: set[int] = set()
    while pending:
        group = pending.pop()
        for name in list(group):
            shown = printable(name.decode("utf-8", "replace"))
            kind = group.links.get_info(name).type
            if kind == h5l.TYPE_SOFT:
                continue  # stays inside this file; Keras decides about it
            if kind != h5l.TYPE_HARD:
                raise ExternalReferenceError(f"'{shown}' is a link to another file", path=path)
            child = h5o.open(group, name)
            if isinstance(child, h5g.GroupID):
                address = h5o.get_info(child).addr
                if address not in seen:
                    seen.add(address)
                    pending.append(child)
            elif isinstance(child, h5d.DatasetID):
                creation = child.get_create_plist()
                if creation.get_layout() == h5d.VIRTUAL or creation.get_external_count():
                    raise ExternalReferenceError(
                        f"the data of '{shown}' lies in another file", path=path
                    )
