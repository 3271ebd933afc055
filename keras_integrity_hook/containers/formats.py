# SPDX-License-Identifier: Apache-2.0
"""The forms of a model that is a single file, and everything in which they differ.

A form is one row here and one module, which finds the block of the seal in such a file and puts it
there. Models of several files are in ``kinds``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keras_integrity_hook.containers import added_members, hdf5, keras_zip, kinds
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import DamagedFileError


@dataclass(frozen=True, slots=True)
class Format:
    """One form.

    Attributes:
        container: its name in a statement.
        called: what a person calls such a file, with an article where it needs one.
        suffixes: how the names of its files end, in lower case. The first is that of a copy whose
            name nobody knows: loaders go by it.
        structure: what of such a file is no named part of it, for messages.
        recognises: whether a file that begins with these bytes is one.
        locate: the content, the seal and the members of the file behind a descriptor, given its
            size (bytes); raises DamagedFileError, MalformedSealError, LimitExceededError.
        put_block: writes an envelope and a chunk table as the seal of the file behind a
            descriptor, which has this layout and none yet.
        room_for: how much to leave free (bytes) before the content for a block of about this size
            (bytes), so that the content need not be moved.
        of_weights: whether it can hold nothing but weights, of which nothing is run.
    """

    container: str
    called: str
    suffixes: tuple[str, ...]
    structure: str
    recognises: Callable[[bytes], bool]
    locate: Callable[[int, int], Layout]
    put_block: Callable[[int, Layout, bytes, bytes], None]
    room_for: Callable[[int], int]
    of_weights: bool = False


def _locate_archive(fd: int, size: int) -> Layout:
    try:
        return keras_zip.locate(fd, size)
    except DamagedFileError as error:
        raise added_members.explained(fd, size, error) from None


def _no_room(size: int) -> int:
    return 0


HDF5 = Format(
    hdf5.CONTAINER,
    called="HDF5",
    suffixes=(".h5", ".hdf5"),
    structure="the HDF5 structure (names, shapes, attributes)",
    recognises=hdf5.recognises,
    locate=hdf5.locate,
    put_block=hdf5.put_block,
    room_for=hdf5.user_block_for,
)
KERAS_ZIP = Format(
    keras_zip.CONTAINER,
    called="a Keras archive",
    suffixes=(".keras",),
    structure="the archive's directory or headers",
    recognises=keras_zip.recognises,
    locate=_locate_archive,
    put_block=keras_zip.put_block,
    room_for=_no_room,
)
FORMATS = {one.container: one for one in (KERAS_ZIP, HDF5)}
"""By their names in a statement."""

SUFFIXES = tuple(end for one in FORMATS.values() for end in one.suffixes)
"""The names by which models of one file are found, in directories, in stores, among downloads."""

OF_WEIGHTS = frozenset(
    [form.container for form in FORMATS.values() if form.of_weights]
    + [kind.container for kind in kinds.KINDS.values() if kind.of_weights]
)
"""Containers of weights alone, of which nothing is run."""


def of_head(head: bytes) -> Format | None:
    """The form of a file that begins with ``head`` (64 bytes, or all of it); None for no model."""
    return next((one for one in FORMATS.values() if one.recognises(head)), None)
