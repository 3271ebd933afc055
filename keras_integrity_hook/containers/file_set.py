# SPDX-License-Identifier: Apache-2.0
"""A model of several files: a directory, shards, a checkpoint. Its seal is a file of its own.

The content that the seal covers is the listed files one after the other, ordered by name. Each file
is opened once, below the set's directory.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from keras_integrity_hook.containers import layout
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.member_names import members_of
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    LimitExceededError,
    MalformedSealError,
    NotAModelError,
    UnreadableFileError,
    printable,
)
from keras_integrity_hook.files import entry_names, exhaustion, portable, reading
from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_exactly
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.block import Block
from keras_integrity_hook.sealing.content import (
    Content,
    FileContent,
    JoinedContent,
    MemberContent,
)
from keras_integrity_hook.sealing.statement import Member


@dataclass(slots=True)
class Part:
    """One file of an open set: its name below the directory, and its bytes.

    ``fd`` is its descriptor where it is held open, -1 where its bytes are in memory or it is
    opened again for each read.
    """

    name: str
    content: Content
    fd: int = -1


@dataclass(slots=True)
class OpenSet(Closing):
    """The files of a set, opened.

    Attributes:
        parts: in the order of the content.
        others: files beside them that no seal lists, relative to the directory.
        mismatch: the first contradiction between what the seal lists and what is there.
        is_held: every file is in memory or open, and none is opened again by its name.
    """

    place: Place
    directory: int
    parts: list[Part] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    mismatch: ChecksumMismatchError | None = None
    is_held: bool = False

    @property
    def content(self) -> Content:
        """All bytes, in order."""
        return JoinedContent([part.content for part in self.parts])

    @property
    def members(self) -> tuple[Member, ...]:
        """Names and sizes as a statement lists them."""
        return tuple(Member(spell(self.place, one.name), one.content.size) for one in self.parts)

    def close(self) -> None:
        """Close every descriptor; calling it again does nothing."""
        for part in self.parts:
            if part.fd >= 0:
                os.close(part.fd)
                part.fd = -1
        if self.directory >= 0:
            os.close(self.directory)
            self.directory = -1


def open_directory(place: Place) -> OpenSet:
    """The set at ``place`` with no file opened yet.

    Raises:
        UnreadableFileError: the directory cannot be opened.
    """
    try:
        fd = system.open(place.directory, reading.FLAGS | portable.O_DIRECTORY)
    except OSError as error:
        cause = f"cannot be opened ({error.strerror})"
        raise UnreadableFileError(cause, remedy=exhaustion.remedy_for(error)) from error
    return OpenSet(place, fd)


def read_block(found: OpenSet) -> Block | None:
    """The block of the set's seal, None where there is no seal.

    Raises:
        MalformedSealError, LimitExceededError: the file is not exactly one block.
        UnreadableFileError: it is there and cannot be read.
    """
    try:
        fd, size = _open_regular(found.directory, found.place.seal)
    except FileNotFoundError:
        return None
    try:
        return layout.read_block(fd, size)
    finally:
        os.close(fd)


def open_listed(found: OpenSet, members: Iterable[Member], *, hold: bool) -> None:
    """Open the files that a seal lists.

    A file that is missing, has another size, or is one too many is noted in ``found.mismatch``.

    Args:
        members: names and sizes.
        hold: keep what is opened: small files in memory, large ones by descriptor. Without it
            files are opened again for each read, which is enough for a report.

    Raises:
        LimitExceededError: more than this process may hold open.
        UnreadableFileError: a file is there and cannot be read.
    """
    held = 0
    listed = set()
    found.is_held = hold
    for member in members:
        name = name_of(found.place, member.name)
        listed.add(name)
        try:
            room = LIMITS.set_held - held if hold else None
            part = _open_part(found.directory, name, room)
        except FileNotFoundError:
            _note(found, name, "is missing")
            continue
        found.parts.append(part)
        if part.content.size != member.size:
            change = "shorter" if part.content.size < member.size else "longer"
            _note(found, name, f"is {change} than its seal says")
        if part.fd < 0:
            held += part.content.size
    head = found.place.head
    if head is not None and head not in listed:
        # The seal of another model in the same directory, whose files are all in order.
        _note(found, head, "is not listed in the seal")
    if found.place.kind.whole_directory:
        found.others = [n for n in files_below(found.directory) if n not in listed]
        found.others = [n for n in found.others if n != found.place.seal]
        for name in found.others:
            if found.place.kind.is_read(name) or _stands_for_directory(found, name):
                _note(found, name, "is not listed in the seal")


def _stands_for_directory(found: OpenSet, name: str) -> bool:
    """Whether ``name`` is a link in place of a directory that a loader reads."""
    if not found.place.kind.is_read(name + "/"):
        return False
    try:
        return stat.S_ISDIR(system.stat(name, dir_fd=found.directory).st_mode)
    except OSError:
        return False


def open_present(found: OpenSet) -> None:
    """Open the files that a seal made now has to cover.

    Raises:
        NotAModelError: there is none.
        DamagedFileError, LimitExceededError, UnreadableFileError: as their names say.
    """
    whole = found.place.kind.whole_directory
    present = (
        list(files_below(found.directory)) if whole else sorted(system.listdir(found.directory))
    )

    def read(name: str) -> bytes:
        fd, size = _open_regular(found.directory, name)
        try:
            if size > LIMITS.shard_index:
                raise LimitExceededError(f"an index of {size} bytes is over {LIMITS.shard_index}")
            return read_exactly(fd, size, 0)
        finally:
            os.close(fd)

    try:
        names = set(members_of(found.place, present, read))
        if len(names) > LIMITS.set_files:
            raise LimitExceededError(f"the model has {len(names)} files")
        for name in present:
            # Keras would go through a link to a directory; a checked copy of the set would lack it.
            if whole and name not in names and _stands_for_directory(found, name):
                raise UnreadableFileError(f"'{shown(name)}' is a link in place of a directory")
        for name in sorted(names, key=lambda name: spell(found.place, name)):
            found.parts.append(_open_part(found.directory, name, None))
    except FileNotFoundError as error:
        raise NotAModelError(f"'{shown(str(error.filename))}' is missing") from error
    if not found.parts:
        raise NotAModelError("there is no model file to seal here")
    found.others = [name for name in present if name not in names and name != found.place.seal]


def take_hold(found: OpenSet) -> None:
    """Hold the files that :func:`open_present` named, so that what is checked can be handed on.

    Raises:
        LimitExceededError: more than this process may hold open.
        UnreadableFileError, FileNotFoundError: one was taken away meanwhile.
    """
    held = 0
    for part in found.parts:
        if part.fd < 0:
            kept = _open_part(found.directory, part.name, LIMITS.set_held - held)
            part.content, part.fd = kept.content, kept.fd
            held += part.content.size if part.fd < 0 else 0
    found.is_held = True


_STEM = "*"
_ODD = re.compile("[%\\\\*\0-\x1f\udc80-\udcff]")


def spell(place: Place, name: str) -> str:
    """How a statement lists the file ``name``: the stem as ``*``, so that a set can be renamed."""
    if place.stem and name.startswith(place.stem):
        return _STEM + escape(name[len(place.stem) :])
    return escape(name)


def name_of(place: Place, spelt: str) -> str:
    """The file that :func:`spell` spelt so. Raises MalformedSealError."""
    of_stem = place.stem and spelt.startswith(_STEM)
    name = place.stem + unescape(spelt[len(_STEM) :]) if of_stem else unescape(spelt)
    if not entry_names.is_below(name):
        raise MalformedSealError("the seal lists a file outside its directory")
    return name


def escape(name: str) -> str:
    """A file name as the statement spells it: bytes that are not UTF-8 and odd ones as ``%XX``."""
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return _ODD.sub(lambda match: f"%{ord(match[0]) & 0xFF:02X}", text)


def unescape(name: str) -> str:
    """The file name that :func:`escape` spelled so. Raises MalformedSealError."""
    raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), name.encode("utf-8"))
    unescaped = os.fsdecode(raw)
    if "\0" in unescaped or escape(unescaped) != name:
        raise MalformedSealError("the seal spells a file name in an odd way")
    return unescaped


def shown(name: str) -> str:
    """A file name for people: whatever its bytes are, it can neither fail nor forge a line."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _note(found: OpenSet, name: str, what: str) -> None:
    if found.mismatch is None:
        found.mismatch = ChecksumMismatchError(
            f"the file '{shown(name)}' {what}",
            container=found.place.kind.container,
            parts=(shown(name),),
        )


def _open_part(directory: int, name: str, room: int | None) -> Part:
    """One file, kept if there is ``room`` (bytes of memory) given; else opened for each read."""
    fd, size = _open_regular(directory, name)
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        if room is None:
            return Part(name, MemberContent(directory, name, size))
        if size <= min(LIMITS.small_member, room):
            return Part(name, FileContent(-1, 0, 0, read_exactly(fd, size, 0)))
        stack.pop_all()
        return Part(name, FileContent(fd, 0, size), fd)


def _open_regular(directory: int, name: str) -> tuple[int, int]:
    """Descriptor and size. Raises FileNotFoundError, UnreadableFileError, LimitExceededError."""
    try:
        fd = system.open(name, reading.FLAGS, dir_fd=directory)
    except FileNotFoundError:
        raise
    except OSError as error:
        if exhaustion.is_exhausted(error):
            raise LimitExceededError(
                f"more files than this process may hold open ('{shown(name)}': {error.strerror})",
                remedy=exhaustion.REMEDY,
            ) from error
        raise UnreadableFileError(f"'{shown(name)}' cannot be opened ({error.strerror})") from error
    status = system.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise UnreadableFileError(f"'{shown(name)}' is not a regular file")
    return fd, status.st_size


def files_below(top: int) -> Iterator[str]:
    """Files below the directory ``top``, relative; linked directories count as files.

    Args:
        top: a descriptor.

    Raises:
        LimitExceededError: too many or too deep. UnreadableFileError: one cannot be searched.
    """
    count = 0
    pending = [""]
    while pending:
        folder = pending.pop()
        if folder.count("/") > LIMITS.set_depth:
            raise LimitExceededError("the directory is nested too deeply")
        for name, is_directory in _entries(top, folder):
            count += 1
            if count > LIMITS.set_entries:
                raise LimitExceededError(f"the directory holds over {LIMITS.set_entries} entries")
            if is_directory:
                pending.append(folder + name + "/")
            else:
                yield folder + name


def _entries(top: int, folder: str) -> list[tuple[str, bool]]:
    """Names in one directory, and whether each is a directory itself."""
    fd = -1
    try:
        fd = system.open(
            folder or ".", reading.FLAGS | portable.O_DIRECTORY | portable.O_NOFOLLOW, dir_fd=top
        )
        with system.scandir(fd) as entries:
            return sorted((one.name, one.is_dir(follow_symlinks=False)) for one in entries)
    except OSError as error:
        raise UnreadableFileError(
            f"'{shown(folder)}' cannot be searched ({error.strerror})"
        ) from error
    finally:
        if fd >= 0:
            os.close(fd)
