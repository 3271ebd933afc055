# SPDX-License-Identifier: Apache-2.0
"""A load, in numbered steps. Nothing of the file is deserialized before step 6."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import NamedTuple

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.containers.opening import duplicated, look_at, open_regular, open_set
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    IntegrityError,
    UnreadableFileError,
)
from keras_integrity_hook.loading import override
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.policy.admission import Admitted
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification import verified_directory
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory
from keras_integrity_hook.verification.verified_file import VerifiedFile

_ATTEMPTS = 3


class _Loading(NamedTuple):
    """A call of Keras in progress: the files handed to it, and what to do before one of them
    can change under its reader."""

    files: list[VerifiedFile]
    before_unleased: Callable[[], None]


_current: ContextVar[_Loading | None] = ContextVar("_current", default=None)
_admitted_place: ContextVar[Place | None] = ContextVar("_admitted_place", default=None)


@settings.snapshot()
def open_verified(path: str, *, fd: int | None = None) -> VerifiedFile:
    """The content of the model at ``path``, checked, as a file object that stays checked.

    Args:
        fd: the model's descriptor, where the caller has opened it: that is what is checked, and
            ``path`` is only what it is called and judged by. It is duplicated, and stays open.

    Raises:
        IntegrityError: one of its kinds; nothing was handed out.
    """
    handed = verified_directory.handed_out(path) if fd is None else None
    if handed is not None:
        # A file of a set, checked with it and pinned; its guard watches the lease.
        shown, content = handed
        return _noted(VerifiedFile(ModelFile(shown, -1, "hdf5", content, None), trusted=True))
    # (1) Open once, (2) find the seal, (3) decode it: sealed, unsealed, or an error.
    try:
        model = settled.open_settled(path, fd=fd)
        _refuse_set(model)
        return _noted(_admitted(model))
    except IntegrityError as error:
        pinned = override.admitted(path, error, fd=fd)
        if pinned is not None:
            return _noted(_checked(pinned))
        if refusal.is_refused(error):
            raise
    return _noted(_unchecked(path, fd))


@contextlib.contextmanager
def verified_set(path: str, place: Place, *, below: str = "") -> Iterator[VerifiedDirectory | None]:
    """The checked files of the set at ``place``, in a private directory for the time of a load.

    Yields None where the user's own path is to be used: the set is unsealed and that is allowed,
    or the mode is ``warn``.

    Args:
        path: what the user named.
        place: where the set lies.
        below: a name for the set's directory, where the loader is given the one above it.

    Raises:
        IntegrityError: one of its kinds; at the end if a file was changed during the load.
    """
    # An outer function of the same load has been here already.
    if place == _admitted_place.get():
        yield None
        return
    commit.finish_interrupted(place)
    # The same steps as for one file.
    checked: VerifiedDirectory | None = None
    try:
        checked = _checked_set(path, place, below)
    except IntegrityError as error:
        pinned = override.admitted(path, error, place)
        if pinned is not None:
            checked = _laid_out(pinned, below)
        elif refusal.is_refused(error):
            raise
    if checked is None:
        token = _admitted_place.set(place)
        try:
            yield None
        finally:
            _admitted_place.reset(token)
        return
    try:
        yield checked
        checked.check_again()
    except IntegrityError as error:
        refusal.is_refused(error)
        raise
    finally:
        checked.close()


@settings.snapshot()
def _checked_set(path: str, place: Place, below: str) -> VerifiedDirectory | None:
    """Open and check; again if the set was saved anew meanwhile, which is no damage."""
    for _ in range(_ATTEMPTS):
        before = _seal_identity(place)
        try:
            return _admitted_set(open_set(path, place, hold=True), below)
        except ChecksumMismatchError:
            if _seal_identity(place) == before:
                raise
    return _admitted_set(open_set(path, place, hold=True), below)


def _seal_identity(place: Place) -> tuple[int, int] | None:
    try:
        found = os.stat(os.path.join(place.directory, place.seal))
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _admitted_set(model: ModelFile, below: str) -> VerifiedDirectory | None:
    admitted = _admit(model)
    if model.seal is None:
        model.close()
        _record(model.path, None, admitted)
        return None
    checked = _laid_out(model, below)
    try:
        _record(model.path, checked.seal, admitted)
    except BaseException:
        checked.close()
        raise
    return checked


def _laid_out(model: ModelFile, below: str) -> VerifiedDirectory:
    try:
        return VerifiedDirectory(model, below)
    except OSError as error:
        model.close()
        raise verified_directory.no_room(model, error) from error
    except BaseException:
        model.close()
        raise


def _refuse_set(model: ModelFile) -> None:
    if model.files is not None:
        model.close()
        raise UnreadableFileError("is a directory or a set, not one file", path=model.path)


def _noted(file: VerifiedFile) -> VerifiedFile:
    current = _current.get()
    if current is not None:
        current.files.append(file)
        if not file.trusted and not file.leased:
            current.before_unleased()
    return file


def _admit(model: ModelFile) -> Admitted:
    """(4) Is it what the policy demands at this path? Closes what is refused."""
    try:
        admitted = admission.admit(model)
        admission.warn_if_unsealed(model)
    except BaseException:
        model.close()
        raise
    return admitted


def _admitted(model: ModelFile) -> VerifiedFile:
    admitted = _admit(model)
    file = VerifiedFile(model, trusted=model.seal is None)
    try:
        if model.seal is not None:
            # (5) A lease keeps writers out where it can be had; check everything.
            file.check()
        # (6) Recorded before it is handed out.
        _record(model.path, model.seal, admitted)
    except BaseException:
        file.close()
        raise
    return file


def _record(path: str, seal: Seal | None, admitted: Admitted) -> None:
    if seal is None:
        audit.record("load", path, outcome="unsealed")
        return
    facts = audit.seal_facts(seal.statement)
    audit.record("load", path, outcome="ok", assurance=admitted.assurance, **facts)


def _checked(model: ModelFile) -> VerifiedFile:
    file = VerifiedFile(model, trusted=False)
    try:
        file.check()
    except BaseException:
        file.close()
        raise
    return file


def _unchecked(path: str, given: int | None) -> VerifiedFile:
    """Mode ``warn``: the bytes as they are. Its readers know where HDF5 and ZIP begin."""
    fd = open_regular(path) if given is None else duplicated(path, given)
    content = FileContent(fd, 0, os.fstat(fd).st_size)
    return VerifiedFile(ModelFile(path, fd, "unknown", content, None), trusted=True)


def refuse_broken(path: str) -> None:
    """Look at the structure alone, for an early and clear refusal of what Keras would misname.

    Raises:
        IntegrityError: as :func:`open_verified`, but nothing about the seal of a single file.
    """
    try:
        look_at(path)
    except UnreadableFileError:
        raise  # Keras would wait for ever on a FIFO, whatever the mode
    except IntegrityError as error:
        if refusal.is_refused(error, report=False):
            raise


@contextlib.contextmanager
def surfacing_failures(
    before_unleased: Callable[[], None] = lambda: None,
) -> Iterator[list[VerifiedFile]]:
    """Raise what was refused meanwhile, even where Keras swallowed or re-wrapped the exception.

    Args:
        before_unleased: called when a file is handed out that a writer may still change.
    """
    files: list[VerifiedFile] = []
    handled = sys.exception()
    token = _current.set(_Loading(files, before_unleased))
    try:
        try:
            yield files
        except Exception as error:
            failure = _first_failure(files) or refusal.refusal_behind(error, handled)
            if failure is None:
                raise
            _tell(failure, files)
            if failure is error:
                raise
            raise failure from None
        failure = _first_failure(files)
        if failure is not None:
            _tell(failure, files)
            raise failure
    finally:
        _current.reset(token)
        for file in files:
            file.close()


def _tell(failure: IntegrityError, files: list[VerifiedFile]) -> None:
    """For the record, which has it by now that the load is good."""
    if failure.path is None and files:
        failure.path = str(files[-1])
    refusal.tell(failure)


def _first_failure(files: list[VerifiedFile]) -> IntegrityError | None:
    return next((file.failure for file in files if file.failure is not None), None)
