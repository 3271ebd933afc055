# SPDX-License-Identifier: Apache-2.0
"""What a model consists of: its variables and files by name, whatever container they are in.

For people who look at a model, damaged or not. Nothing here trusts a byte: what is read is what the
bounded walks through archives and HDF5 files read, and what they do not understand has no name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.containers import file_set, hdf5, hdf5_map, hdf5_types, opening
from keras_integrity_hook.containers.hdf5_map import Budget
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content, FileContent


class Part(NamedTuple):
    """A variable, or a file that is no container of variables.

    Attributes:
        name: of a variable, its path in the HDF5 file; of a file, its name. In a set a variable
            has the file's name before it. As the model spells them, so escape them to show them.
        offset: where its bytes begin, in bytes of the model's content.
        size: bytes.
        shape: of a variable; None for anything else.
        dtype: of its numbers, as NumPy names it; empty where they are no plain numbers.
    """

    name: str
    offset: int
    size: int
    shape: tuple[int, ...] | None = None
    dtype: str = ""

    @property
    def numbers(self) -> int:
        """How many numbers; 0 where it has none that are understood."""
        return self.size // hdf5_types.itemsize(self.dtype) if self.dtype else 0


def parts_of(model: ModelFile) -> tuple[Part, ...]:
    """The parts of an open model, in the order of its content."""
    return tuple(sorted(_parts(model), key=lambda part: (part.offset, part.size)))


class File(NamedTuple):
    """One file of a set.

    Attributes:
        name: for people.
        start: where it begins in the content of the set, in bytes.
        content: its bytes.
        parts: what it consists of, in their order; offsets are those of the file itself.
    """

    name: str
    start: int
    content: Content
    parts: tuple[Part, ...]


def files_of(model: ModelFile) -> dict[str, File]:
    """The files of a set, by the names that a seal would list them by; none of a single file."""
    if model.files is None:
        return {}
    found = zip(model.files.members, _files(model.files, Budget()), strict=True)
    return {member.name: file for member, file in found}


def file_offset(model: ModelFile, offset: int | None) -> int | None:
    """Where the byte at ``offset`` of the content is in the model's file; None where it is in none,
    as a ZIP's directory that was moved back, or the model has several."""
    content = model.content
    if offset is None or not isinstance(content, FileContent) or offset >= content.length:
        return None
    return offset + content.start


def _parts(model: ModelFile) -> Iterator[Part]:
    budget = Budget()
    if model.files is not None:
        yield from _of_set(model.files, budget)
    elif model.container == hdf5.CONTAINER:
        yield from _variables(model.content, 0, model.content.size, budget)
    else:
        for member in opening.locate(model.fd, system.fstat(model.fd).st_size).members:
            variables: list[Part] = []
            if member.name.endswith(".h5"):
                variables += _variables(model.content, member.offset, member.size, budget)
            yield from variables or [Part(member.name, member.offset, member.size)]


def _of_set(files: file_set.OpenSet, budget: Budget) -> Iterator[Part]:
    for file in _files(files, budget):
        for part in file.parts:
            yield part._replace(offset=file.start + part.offset)


def _files(files: file_set.OpenSet, budget: Budget) -> Iterator[File]:
    at = 0
    for one in files.parts:
        name, size = file_set.shown(one.name), one.content.size
        found: list[Part] = []
        if one.name.endswith(".h5"):
            found += _variables(one.content, 0, size, budget)
        named = [part._replace(name=f"{name}: {part.name}") for part in found]
        named.sort(key=lambda part: (part.offset, part.size))
        yield File(name, at, one.content, tuple(named or [Part(name, 0, size)]))
        at += size


def _variables(content: Content, start: int, size: int, budget: Budget) -> Iterator[Part]:
    # Variables lie side by side; a crafted file may say that thousands share the same bytes.
    room = LIMITS.region_layers // 2 * size
    try:
        for node in hdf5_map.nodes(content, start, size, budget):
            if node.data is None or budget.regions <= 0:
                continue
            budget.regions -= 1
            offset, length = node.data
            room -= length
            if room < 0:
                return
            is_plain = hdf5_types.fits(node.shape, node.dtype, length)
            dtype = node.dtype if is_plain else ""
            yield Part(node.path, start + offset, length, node.shape, dtype)
    except (struct.error, IntegrityError, ValueError):
        return  # the rest has no names
