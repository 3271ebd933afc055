# SPDX-License-Identifier: Apache-2.0
"""Open a path once, and find out what it holds: sealed, unsealed, or damaged (an error)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_integrity_hook.containers import (
    added_members,
    appended,
    file_set,
    formats,
    keras_zip,
    kinds,
    sidecar,
)
from keras_integrity_hook.containers.appended import Appended
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.containers.model_file import ModelFile, Seal, set_of_files, single_file
from keras_integrity_hook.containers.recognition import recognise
from keras_integrity_hook.containers.sidecar import Sidecar
from keras_integrity_hook.errors import (
    DamagedFileError,
    IntegrityError,
    LimitExceededError,
    MalformedSealError,
    NotAModelError,
    UnreadableFileError,
    printable,
)
from keras_integrity_hook.files import exhaustion, local_copies
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import duplicated, open_regular
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import envelope, statement, tree
from keras_integrity_hook.sealing.block import Block
from keras_integrity_hook.sealing.statement import Statement


def open_model(path: str | os.PathLike[str], *, fd: int | None = None) -> ModelFile:
    """Open ``path`` (symbolic links followed once, here) and decode its seal, if any.

    A set is opened for looking at: :func:`open_set` is for what is handed on. A file without a seal
    in it may have one beside it; where it has both, the one in it counts: nobody can leave
    that behind.

    Args:
        fd: the single file, where it is open already; it is duplicated, and ``path`` is what it
            was opened by. What lies beside another file that has this name by now is not its seal.

    Raises:
        UnreadableFileError: missing, no permission, or neither a regular file nor a set.
        NotAModelError: it is in none of the forms in ``formats``.
        DamagedFileError: it is, and breaks the rules that Keras keeps.
        MalformedSealError, LimitExceededError: there is a seal and it is not well formed.
    """
    name = os.fsdecode(path)
    place = recognise(local_copies.copy_of(name)) if fd is None else None
    if place is not None:
        return open_set(name, place, hold=False)
    model = open_alone(name, fd=fd)
    if model.seal is None and (fd is None or is_in_place(model)):
        try:
            seal = seal_beside(model)
        except BaseException:
            model.close()
            raise
        return model.under(seal)
    return model


def open_alone(name: str, *, fd: int | None = None) -> ModelFile:
    """Open the single file ``name`` without looking beside it; see :func:`open_model`."""
    fd = open_regular(name) if fd is None else duplicated(name, fd)
    try:
        with errors_of(name):
            layout = locate(fd, system.fstat(fd).st_size)
            seal = _decode_in(layout)
            return single_file(name, fd, layout.container, layout.content).under(seal)
    except BaseException:
        os.close(fd)
        raise


def open_archive_alone(name: str) -> tuple[ModelFile, Appended]:
    """Open the archive that the file ``name`` begins with, and say what was appended to it.

    For commands that take the archive out of the file, and for nothing else: what is loaded is a
    file that :func:`open_model` opens. The content is the archive without seal and comment; what
    was appended is read from the same descriptor, and neither is lost unless the caller drops it.

    Raises:
        DamagedFileError: nothing was appended, or the archive before it is not in order.
        UnreadableFileError, MalformedSealError, LimitExceededError: see :func:`open_model`.
    """
    fd = open_regular(name)
    try:
        with errors_of(name):
            extra = appended.find(fd, system.fstat(fd).st_size)
            if extra is None:
                raise DamagedFileError("no archive with something appended begins here")
            layout = keras_zip.locate(fd, extra.start, extra.size if extra.is_comment else 0)
            seal = _decode_in(layout)
            return single_file(name, fd, layout.container, layout.content).under(seal), extra
    except BaseException:
        os.close(fd)
        raise


def open_archive_around_seal(name: str) -> ModelFile:
    """Open the archive ``name``, in which members were added behind the seal; likewise.

    Raises:
        DamagedFileError: none were. IntegrityError: see :func:`open_model`.
    """
    fd = open_regular(name)
    try:
        with errors_of(name):
            layout, taken_out = added_members.layout_of(fd, system.fstat(fd).st_size)
            seal = _decode(taken_out, layout.container, layout.block_offset)
            return single_file(name, fd, layout.container, layout.content).with_seal(seal)
    except BaseException:
        os.close(fd)
        raise


def is_in_place(model: ModelFile) -> bool:
    """Whether the path of the single file ``model`` still names the file that was opened."""
    try:
        there = system.stat(local_copies.copy_of(model.path))
        return os.path.samestat(there, system.fstat(model.fd))
    except OSError:
        return False


def look_at(name: str) -> None:
    """Raise what :func:`open_model` would, except about the seal of a single file: that is found
    and not decoded, which takes longest."""
    place = recognise(local_copies.copy_of(name))
    if place is not None:
        open_set(name, place, hold=False).close()
        return
    fd = open_regular(name)
    try:
        with errors_of(name):
            locate(fd, system.fstat(fd).st_size)
    finally:
        os.close(fd)


@contextlib.contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Name ``path`` in the errors of what opens it; raise UnreadableFileError for the system's."""
    try:
        yield
    except OSError as error:
        cause = f"cannot be read ({error.strerror})"
        remedy = exhaustion.remedy_for(error)
        raise UnreadableFileError(cause, path=path, remedy=remedy) from error
    except IntegrityError as error:
        error.path = error.path or path
        raise


def read_sidecar(path: str) -> Seal | None:
    """The seal that the file ``path`` holds, of whatever kind of model; None where there is none.

    Raises:
        UnreadableFileError, MalformedSealError, LimitExceededError, DamagedFileError: it is there
            and not a well-formed seal.
    """
    read = sidecar.read(path)
    return None if read is None else _decode(read[0], None, 0, read[1])


def seal_beside(model: ModelFile) -> Seal | None:
    """The seal in a file beside the open single file ``model``; raises as :func:`read_sidecar`."""
    for path in sidecar.places(model.path):
        try:
            seal = read_sidecar(path)
            # A checkpoint of the same name has its seal there, too: that one is not ours.
            if seal is not None and not is_of_checkpoint(seal):
                _same_form(seal.statement, model.container)
                return seal
        except IntegrityError as error:
            error.path = model.path
            error.default_remedy = (
                f"The seal is the file {printable(local_copies.name_of(path))}: restore it from a "
                "trusted copy together with the model, or save the model again."
            )
            raise
    return None


def is_of_checkpoint(seal: Seal) -> bool:
    """Whether it is the seal of a TensorFlow checkpoint, ``<prefix>.seal`` beside its files."""
    return seal.statement.container == kinds.TF_CHECKPOINT.container


def open_set(path: str, place: Place, *, hold: bool) -> ModelFile:
    """Open the set at ``place``, which the user named ``path``, and decode its seal, if any.

    Args:
        hold: keep hold of every file, so that what is checked can be handed on.

    Raises:
        UnreadableFileError, NotAModelError, MalformedSealError, LimitExceededError: see
            :func:`open_model`.
    """
    with errors_of(path):
        files = file_set.open_directory(place)
        try:
            container = place.kind.container
            seal_block = file_set.read_block(files)
            seal = None if seal_block is None else _decode(seal_block, container, 0)
            if seal is None:
                file_set.open_present(files)
            else:
                file_set.open_listed(files, seal.statement.files, hold=hold)
            return set_of_files(path, files).under(seal)
        except BaseException:
            files.close()
            raise


def locate(fd: int, size: int) -> Layout:
    """The layout of the file behind ``fd`` (``size`` bytes), by its first bytes."""
    if size > LIMITS.content:
        raise LimitExceededError(f"a file of {size} bytes is over {LIMITS.content}")
    head = system.pread(fd, 64, 0)
    if not head:
        raise NotAModelError("the file is empty")
    if head.startswith(b"version https://git-lfs"):
        cause = "this is a Git-LFS pointer, not the model it points to"
        raise NotAModelError(cause, remedy="Run 'git lfs pull' to fetch the model itself.")
    form = formats.of_head(head)
    if form is None:
        known = " nor ".join(one.called for one in formats.FORMATS.values())
        raise NotAModelError(f"the file is neither {known}, or its start is lost")
    return form.locate(fd, size)


def _decode_in(layout: Layout) -> Seal | None:
    """The seal in the file of this ``layout``, if there is one."""
    if layout.block is None:
        return None
    return _decode(layout.block, layout.container, layout.block_offset)


def _decode(
    seal_block: Block, container: str | None, offset: int, beside: Sidecar | None = None
) -> Seal:
    parsed = envelope.decode(seal_block.envelope)
    stated = statement.decode(parsed.payload)
    table = seal_block.table
    if container is not None:
        _same_form(stated, container)
    chunks = tree.chunk_count(stated.size, stated.chunk_size)
    if len(table) != chunks * tree.ALGORITHMS[stated.algorithm]:
        raise MalformedSealError("the seal's chunk table has the wrong length")
    actual = tree.root(
        table, size=stated.size, chunk_size=stated.chunk_size, algorithm=stated.algorithm
    )
    if not tree.same_root(actual, stated.root):
        raise MalformedSealError("the seal's chunk table does not match its root digest")
    return Seal(stated, parsed, table, offset, seal_block.size, beside)


def _same_form(stated: Statement, container: str) -> None:
    if stated.container != container:
        raise MalformedSealError(f"the seal is one of a model in another form, {stated.container}")
