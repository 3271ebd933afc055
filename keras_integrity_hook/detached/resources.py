# SPDX-License-Identifier: Apache-2.0
"""The files of a model as Model Signing counts them, and whether they are those of a manifest.

A file is one resource. Of a directory every file counts, whether a loader reads it or not, but for
what the signer left out, git's own files, and the signature. Links are refused unless the signer
followed them. A model of several files of one stem is the files that make it up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from keras_integrity_hook.containers import file_set, recognition
from keras_integrity_hook.containers.file_set import Part, shown
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.detached.manifest import WHOLE, Manifest, Piece
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    LimitExceededError,
    UnreadableFileError,
)
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import open_regular
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import (
    Content,
    FileContent,
    JoinedContent,
    MemberContent,
)
from keras_integrity_hook.verification import single_pass
from keras_integrity_hook.verification.single_pass import Reading

_NAMED_AT_MOST = 5


@contextmanager
def opened(path: str, skips: Callable[[str], bool], *, links: bool) -> Iterator[list[Part]]:
    """The files at ``path``, ordered by name.

    Args:
        skips: whether a file of a directory, by its name relative to it, is left out.
        links: whether symbolic links in a directory are followed.

    Raises:
        UnreadableFileError: missing, or not what can be signed: a link, a FIFO, ...
        LimitExceededError: too many files.
        NotAModelError, DamagedFileError: an index does not name its files.
    """
    place = None if os.path.isdir(path) else recognition.recognise(path)
    if place is not None:
        with _opened_stem(place) as parts:
            yield parts
    elif os.path.isdir(path):
        with _opened_tree(path, skips, links=links) as parts:
            yield parts
    else:
        fd = open_regular(path)
        try:
            yield [Part(WHOLE, FileContent(fd, 0, system.fstat(fd).st_size), fd)]
        finally:
            os.close(fd)


def digests(parts: Sequence[Part], algorithm: str = "sha256") -> dict[str, tuple[Piece, ...]]:
    """The digest of each of ``parts``; raises as :func:`single_pass.read_once`."""
    reading = single_pass.read_once(joined(parts), list(_ends(parts)), algorithm)
    pieces = (Piece(0, None, digest) for digest in reading.digests)
    return {part.name: (piece,) for part, piece in zip(parts, pieces, strict=True)}


def compared(
    parts: Sequence[Part],
    manifest: Manifest,
    missing: Iterable[str] = (),
    tables: Iterable[str] = (),
) -> Reading:
    """Read ``parts`` once and compare them with what ``manifest`` says of them.

    Args:
        missing: names that the manifest lists and that are not there.
        tables: algorithms of more chunk tables.

    Returns:
        What was read, in the order of ``parts``.

    Raises:
        ChecksumMismatchError: naming the files that differ, lack or are not listed.
        DamagedFileError, ConfigurationError, OSError: see :func:`single_pass.read_once`.
    """
    found = _Differences(missing=tuple(missing))
    wanted: list[tuple[str, Piece]] = []
    stops: list[int] = []
    start = 0
    for part in parts:
        pieces = manifest.files.get(part.name, ())
        size = part.content.size
        if not pieces:
            found.unlisted.append(part.name)
        elif (pieces[-1].stop or size) != size:
            found.changed.append(part.name)
        wanted.extend((part.name, piece) for piece in pieces)
        stops.extend(start + (size if one.stop is None else one.stop) for one in pieces)
        start += size
    found.refuse()  # before the pieces are read: without these they are not the whole
    reading = single_pass.read_once(joined(parts), stops, manifest.algorithm, tables)
    for digest, (name, piece) in zip(reading.digests, wanted, strict=True):
        if digest != piece.digest and name not in found.changed:
            found.changed.append(name)
    found.refuse()
    return reading


def is_below(name: str, ignored: Collection[str]) -> bool:
    """Whether ``name`` is one of ``ignored`` or lies in one."""
    return any(name == one or name.startswith(one.rstrip("/") + "/") for one in ignored)


def inside(path: str, other: str) -> tuple[str, ...]:
    """What the file ``other`` is called in the directory at ``path``; () if it is not in it."""
    name = os.path.relpath(real_path(other), real_path(path))
    outside = not os.path.isdir(path) or name == os.pardir or name.startswith(os.pardir + os.sep)
    return () if outside else (name,)


class _Differences:
    """What a model and a manifest do not agree on, by file names."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.changed: list[str] = []
        self.missing = list(missing)
        self.unlisted: list[str] = []

    def refuse(self) -> None:
        """Raise ChecksumMismatchError unless there is none."""
        kinds = (
            ("changed", self.changed),
            ("missing", self.missing),
            ("not signed", self.unlisted),
        )
        told = [f"{what}: {_some(names)}" for what, names in kinds if names]
        if not told:
            return
        parts = tuple(map(shown, (*self.changed, *self.missing, *self.unlisted)))
        cause = f"the model is not the one that was signed; {'; '.join(told)}"
        remedy = (
            "Restore it from its signer's copy. If it was changed on purpose, have it signed again."
        )
        raise ChecksumMismatchError(cause, parts=parts, remedy=remedy)


def _some(names: Sequence[str]) -> str:
    told = ", ".join(
        "the file" if name == WHOLE else shown(name) for name in names[:_NAMED_AT_MOST]
    )
    more = len(names) - _NAMED_AT_MOST
    return f"{told} and {more} more" if more > 0 else told


def joined(parts: Sequence[Part]) -> Content:
    """The bytes of ``parts``, one after the other."""
    return JoinedContent([part.content for part in parts])


def _ends(parts: Sequence[Part]) -> Iterator[int]:
    end = 0
    for part in parts:
        end += part.content.size
        yield end


@contextmanager
def _opened_stem(place: Place) -> Iterator[list[Part]]:
    with file_set.open_directory(place) as found:
        file_set.open_present(found)
        yield found.parts


@contextmanager
def _opened_tree(path: str, skips: Callable[[str], bool], *, links: bool) -> Iterator[list[Part]]:
    try:
        top = system.open(path, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    except OSError as error:
        raise UnreadableFileError(f"cannot be opened ({error.strerror})", path=path) from error
    try:
        names = [name for name in file_set.files_below(top) if not skips(name)]
        if len(names) > LIMITS.set_files:
            raise LimitExceededError(f"the model has {len(names)} files", path=path)
        if not names:
            raise UnreadableFileError("the directory holds no file to sign", path=path)
        yield [_member(top, name, links=links) for name in sorted(names)]
    finally:
        os.close(top)


def _member(top: int, name: str, *, links: bool) -> Part:
    status = system.stat(name, dir_fd=top, follow_symlinks=links)
    if stat.S_ISLNK(status.st_mode):
        raise UnreadableFileError(f"'{shown(name)}' is a symbolic link, which is not followed here")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError(f"'{shown(name)}' is not a regular file")
    return Part(name, MemberContent(top, name, status.st_size))
