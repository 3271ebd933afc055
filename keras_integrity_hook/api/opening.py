# SPDX-License-Identifier: Apache-2.0
"""The model at a path, open once what is left of a save there is in order."""

from __future__ import annotations

import contextlib
import os

from keras_integrity_hook import notices
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import (
    open_archive_alone,
    open_archive_around_seal,
    open_set,
)
from keras_integrity_hook.errors import DamagedFileError, IntegrityWarning, SealWriteError
from keras_integrity_hook.files import atomic, confinement, local_copies, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.sealing.content import Content

Location = str | os.PathLike[str]


def opened(path: Location) -> ModelFile:
    """The model at ``path``, once what is left of a save is in order; raises as :func:`inspect`."""
    name = os.fsdecode(path)
    return opened_as(name, place_of(name))


def place_of(name: str) -> Place | None:
    """The set that ``name``, of a model that is at hand, is."""
    return recognition.recognise(local_copies.copy_of(name))


def others_of(name: str) -> list[Place]:
    """What the directory ``name`` is besides."""
    local = local_copies.copy_of(name)
    return recognition.sets_in_directory(local)[1:] if os.path.isdir(local) else []


def opened_to_mend(path: Location) -> ModelFile:
    """As :func:`opened`; where somebody added something to a sealed archive, the archive.

    What was appended is kept in a file of its own beside it, and members that were added stay.
    """
    name = os.fsdecode(path)
    try:
        return opened(name)
    except DamagedFileError as error:
        if os.path.isdir(name):
            raise
        with contextlib.suppress(DamagedFileError):
            return _where_found(open_archive_around_seal(name))
        try:
            model, extra = open_archive_alone(name)
        except DamagedFileError:
            raise error from None
        _where_found(model)
        if model.seal is None:
            model.close()
            raise
        try:
            kept = _keep_appended(extra.content(model.fd), name)
        except BaseException:
            model.close()
            raise
        notices.warn(f"{name}: {error.cause}, which is in {kept} from now on", IntegrityWarning)
        return model


def _keep_appended(content: Content, name: str) -> str:
    """Write what was appended to the model ``name`` beside it; the path.

    Raises:
        SealWriteError: there is a file of that name already, or it cannot be written.
    """
    path = real_path(name) + ".appended"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | portable.O_NOFOLLOW | portable.O_CLOEXEC
    try:
        with atomic.open_target(path) as target:
            fd = system.open(target.name, flags, 0o600, dir_fd=target.directory)
        try:
            copy_content(content, fd)
        finally:
            os.close(fd)
    except OSError as error:
        cause = f"what was appended cannot be put into {path} ({error.strerror})"
        raise SealWriteError(cause, path=name) from error
    return path


def opened_as(name: str, place: Place | None) -> ModelFile:
    """The file ``name``, or the set at ``place``, once what is left of a save is in order."""
    if place is None:
        return _where_found(settled.open_settled(name))
    commit.finish_interrupted(place)
    return _where_found(open_set(name, place, hold=False))


def _where_found(model: ModelFile) -> ModelFile:
    """The open model, unless a command has found it elsewhere; it is closed then.

    Raises:
        UnreadableFileError: as :func:`confinement.refuse_elsewhere`.
    """
    try:
        if model.files is None:
            confinement.refuse_elsewhere(model.fd, model.path)
        else:
            is_around = not model.files.place.kind.whole_directory
            confinement.refuse_elsewhere(model.files.directory, model.path, is_around=is_around)
    except BaseException:
        model.close()
        raise
    return model
