# SPDX-License-Identifier: Apache-2.0
"""Put a seal into a model that is there already, or take it out: whole, or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.file_set import OpenSet
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import IntegrityError, SealWriteError
from keras_integrity_hook.files import atomic
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history import moves
from keras_integrity_hook.saving import provenance, seal_writer, sidecars
from keras_integrity_hook.saving.statement import NewSeal
from keras_integrity_hook.settings import Store


def put_seal(model: ModelFile, algorithm: str, store: Store, event: str = "seal") -> None:
    """Seal an open model, which may have a seal already, as it is.

    Args:
        model: a file is replaced by a sealed copy; beside a set its seal is put.
        algorithm: a name of :data:`sealing.tree.ALGORITHMS`.
        store: where the seal of a single file goes; one beside it leaves the file as it is.
        event: what the audit log calls it.

    Raises:
        SealWriteError: the seal could not be written; all is as it was.
        AuditError, SigningError, LimitExceededError: likewise.
    """

    move = contextlib.ExitStack()

    def record(seal: NewSeal) -> None:
        stated = seal.statement
        facts = stated.provenance
        why = {key: facts[key] for key in provenance.RESEAL if key in facts}
        audit.record(event, model.path, outcome="ok", **audit.seal_facts(stated), **why)
        put = moves.made(stated, seal.signed)
        move.enter_context(moved_along(model, put))

    name = os.path.basename(os.path.abspath(model.path))
    with written(model.path, event), move:
        if model.files is not None:
            with OpenSet(model.files.place, os.dup(model.files.directory)) as files:
                seal = seal_writer.seal_of_set(
                    files, subject=name, algorithm=algorithm, path=model.path
                )
                record(seal)
                seal_writer.put_beside(files.directory, files.place, seal.block)
        elif store is Store.SIDECAR:
            sidecars.put_seal_beside(model, algorithm, record=record)
        else:
            # Room for a middling seal at once, so that the content of most files moves only once.
            room = FORMATS[model.container].room_for(8192)
            with replaced(model, room) as (fd, name):
                record(
                    seal_writer.seal_in_place(
                        fd, subject=name, algorithm=algorithm, path=model.path
                    )
                )


def take_out(model: SealedModel) -> None:
    """Take the seal of an open, sealed model out: a file becomes its original content.

    Raises:
        SealWriteError, AuditError: all is as it was.
    """
    facts = audit.seal_facts(model.seal.statement)
    with written(model.path, "unseal"), moved_along(model, None):
        if model.files is not None:
            audit.record("unseal", model.path, outcome="ok", **facts)
            seal_writer.remove_beside(model.files.directory, model.files.place)
        elif model.seal.sidecar is not None:
            audit.record("unseal", model.path, outcome="ok", **facts)
            sidecars.remove_seal(model, model.seal.sidecar)
        else:
            with replaced(model, 0):
                audit.record("unseal", model.path, outcome="ok", **facts)


def moved_along(model: ModelFile, put: moves.Put | None) -> AbstractContextManager[object]:
    """As :func:`moves.moved_along`, for a command: a person's word, under every name of a model."""
    path = model.path if model.files is None else model.files.place.path
    try:
        demands = settings.at(model.path)
    except IntegrityError:  # whoever it concerns is told: to take a seal out needs no settings
        demands = settings.of_machine(model.path)
    return moves.moved_along(path, put, demands)


@contextlib.contextmanager
def written(path: str, event: str) -> Iterator[None]:
    """Raise SealWriteError for what the operating system refuses; record any failure."""
    try:
        yield
    except IntegrityError as error:
        error.path = error.path or path
        audit.record(event, path, outcome="failed", error=error)
        raise
    except OSError as error:
        cause = f"the new file could not be written ({error.strerror})"
        if error.errno == errno.ESTALE:
            cause = "the file was changed meanwhile: another one took its place"
        failure = SealWriteError(cause, path=path)
        audit.record(event, path, outcome="failed", error=failure)
        raise failure from error


@contextlib.contextmanager
def replaced(model: ModelFile, room: int) -> Iterator[tuple[int, str]]:
    """A private copy of the content, ``room`` bytes from its start, that replaces the file in the
    end; its descriptor and name.

    Links are followed once more, since a path is all that is known of where the model was; but only
    the very file that was opened is replaced.

    Raises:
        SealWriteError: the file was changed, or another one put in its place, since it was opened.
        OSError: it cannot be written.
    """
    opened = system.fstat(model.fd)
    with atomic.open_target(model.path) as target:
        target.refuse_other_than(opened)
        target.refuse_unwritable()
        with atomic.private_file(target) as made:
            made.take_final_name()
            fd = made.create()
            try:
                copy_content(model.content, fd, room)
                yield fd, target.name
            finally:
                os.close(fd)
            if system.fstat(model.fd).st_mtime_ns != opened.st_mtime_ns:
                raise SealWriteError("the file was changed meanwhile", path=model.path)
            sidecars.put_in_place(made, expected=opened, ignoring=model.fd)
