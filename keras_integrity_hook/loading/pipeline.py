# SPDX-License-Identifier: Apache-2.0
"""A load, in numbered steps. Nothing of a model is deserialized before step 6.

1. *Locate* it: a file by its path or its descriptor, or a set of files. A save of it that was
   interrupted is finished. What is not there at all is no business of ours.
2. *Open* it, once; from here on its path is only a name.
3. *Decode* its seal: sealed, unsealed, or damaged, which no policy lets pass.
4. *Admit* it: is it what the policy demands, under every name it has?
5. *Verify* it: every chunk, kept from then on as it was, or compared again as it is served. Then
   *inspect* it: what would Keras do with these bytes? Where a policy wants that, it must have been
   loaded in a sandbox before. What was inspected and tried is what is handed over.
6. *Hand it over*, when that is recorded: a file as a file object, a set as a private directory.

``Located → Opened → Admitted → Verified → what is handed over``: each step takes what only the one
before it makes. Opening and decoding make one value, since a seal beside a file counts only if both
are of one save, and to find that out they may have to be opened several times. Single files and
sets differ in how they are opened and how they are handed over, and in nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel, single_file
from keras_integrity_hook.containers.opening import look_at
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    IntegrityError,
    UnreadableFileError,
)
from keras_integrity_hook.files import local_copies, location
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history.memory import Memory
from keras_integrity_hook.loading import (
    contracted,
    in_progress,
    inspected,
    override,
    pipelined,
    tried,
)
from keras_integrity_hook.loading.forms import (
    Closable,
    FileSet,
    Form,
    Located,
    SingleFile,
)
from keras_integrity_hook.loading.surfacing import speaking_of, surfacing_failures
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.policy.admission import Admitted
from keras_integrity_hook.saving import commit
from keras_integrity_hook.verification import handed_out, holding
from keras_integrity_hook.verification.verified_directory import VerifiedDirectory
from keras_integrity_hook.verification.verified_file import VerifiedFile

__all__ = ["open_verified", "refuse_broken", "surfacing_failures", "verified_set"]

_Checked = TypeVar("_Checked", bound=Closable)
_Unchecked = TypeVar("_Unchecked")
_ATTEMPTS = 4  # to check a set that is saved anew meanwhile
_ABSENT = (FileNotFoundError, NotADirectoryError)
_LOOKS = 20  # at a model and what is remembered of it, while others save there


@dataclass(frozen=True, slots=True)
class Opened:
    """An open model, and its decoded seal if it has one."""

    located: Located
    model: ModelFile


def open_verified(path: str, *, fd: int | None = None) -> VerifiedFile:
    """The content of the model at ``path``, checked, as a file object that stays checked.

    Args:
        fd: the model's descriptor, where the caller has opened it: that is what is checked, and
            ``path`` is only what it is called and judged by. It is duplicated, and stays open.

    Raises:
        IntegrityError: one of its kinds; nothing was handed out.
        FileNotFoundError, NotADirectoryError: nothing is there.
    """
    handed = handed_out.file_at(path) if fd is None else None
    if handed is not None:
        # A file of a set, checked with it and pinned; its guard watches the lease.
        part = single_file(handed.path, -1, hdf5.CONTAINER, handed.content)
        return in_progress.current().hand_out(VerifiedFile.part(part))
    loading = in_progress.current()
    located = Located(local_copies.name_of(path), fd=fd, named=loading.sets_of(path))
    return loading.hand_out(_load(located, SingleFile()))


@contextlib.contextmanager
def verified_set(
    path: str, place: Place, *, below: str = "", named: str | None = None
) -> Iterator[VerifiedDirectory | None]:
    """The checked files of the set at ``place``, in a private directory for the time of a load.

    One without a seal is handed over in the same way, as it was inspected. Yields None where the
    user's own path is to be used: such a set is not inspected, or the mode is ``warn``.

    Args:
        path: what the user named.
        place: where the set lies; one whose directory is a URL is fetched first.
        below: a name for the set's directory, where the loader is given the one above it.
        named: what the user named where that is another directory, which leads to ``path``.

    Raises:
        IntegrityError: one of its kinds; at the end if a file was changed during the load.
        FileNotFoundError, NotADirectoryError: nothing is there.
    """
    if location.is_url(place.directory):
        from keras_integrity_hook.loading import remote_sets
        from keras_integrity_hook.remote import urls

        names = () if named is None else (named,)
        with (
            remote_sets.fetched(place, *names) as local,
            verified_set(urls.shown(path), local, below=below, named=named) as checked,
        ):
            yield checked
        return
    # An outer function of the same load has been here already.
    if place in in_progress.current().admitted:
        yield None
        return
    names = () if named is None else (named,)
    checked = _load(Located(path, place, named=names), FileSet(place, below))
    if checked is None:
        with in_progress.admitted(place):
            yield None
        return
    try:
        yield checked
        checked.check_again()
    except IntegrityError as error:
        refusal.is_refused(error)
        raise
    except Exception as error:
        speaking_of(error, checked.path, local_copies.name_of(place.directory), below=below)
        raise
    finally:
        checked.close()


@settings.snapshot()
def _load(located: Located, form: Form[_Checked, _Unchecked]) -> _Checked | _Unchecked:
    """All steps. Raises IntegrityError, once it is recorded; FileNotFoundError."""
    _finish_interrupted_save(located)  # 1
    try:
        return _handed_over(located, form)
    except IntegrityError as error:
        absent = _absent(located, error)
        pinned = None if absent else _pinned_by_override(located, error)
        if absent is None and pinned is None and refusal.is_refused(error):
            raise
    # Raised out here, our own error is not behind it: that would surface instead.
    if absent is not None:
        raise absent
    return form.hand_over_damaged(located) if pinned is None else _handed_pinned(pinned, form)


def _handed_over(located: Located, form: Form[_Checked, _Unchecked]) -> _Checked | _Unchecked:
    """Steps 2 to 6; again if it was saved meanwhile, anew or for the first time: no damage."""
    for _ in range(_ATTEMPTS - 1):
        before = _seal_identity(located)
        try:
            return _settled(located, form)
        except ChecksumMismatchError:
            if _seal_identity(located) == before:
                raise
        except UnreadableFileError as error:
            if not _has_appeared(located, error):
                raise
    return _settled(located, form)


def _settled(located: Located, form: Form[_Checked, _Unchecked]) -> _Checked | _Unchecked:
    """The same; again while others save there so fast that nobody could tell what is remembered."""
    for _ in range(_LOOKS - 1):
        with contextlib.suppress(_UnsettledError):
            return _attempted(located, form)
    return _attempted(located, form, is_last=True)


class _UnsettledError(Exception):
    """The model was saved anew while it was held against what is remembered of it."""


def _attempted(
    located: Located, form: Form[_Checked, _Unchecked], *, is_last: bool = False
) -> _Checked | _Unchecked:
    memory = admission.memory_of(located.path, located.place, *located.named)
    if memory is not None:
        memory.can_ask_again = not is_last
    with contextlib.ExitStack() as undo:
        opened = Opened(located, form.open(located))  # 2, 3
        undo.callback(opened.model.close)
        admitted = _admit(opened, memory)  # 4
        if memory is not None and memory.is_unsettled:
            raise _UnsettledError
        is_tried = tried.is_asked_for(admitted, *located.named)
        if is_tried:
            admitted = tried.pinned(admitted)
        if isinstance(admitted.model, SealedModel):
            ahead = not is_tried and pipelined.is_asked_for(admitted.model, *located.named)
            verified = holding.verify(admitted.model, ahead=ahead)  # 5
            undo.callback(verified.release)
            inspected.inspect_verified(verified, *located.named)
            if is_tried:
                tried.require(verified)
            handed = form.hand_over(verified)  # 6
            undo.callback(handed.close)
            contracted.note(admitted.model, *located.named)
            form.when_whole(handed, lambda: _remember(admitted, opened.model, memory))
        else:
            unsealed = inspected.inspect_unsealed(admitted.model, *located.named)
            audit.record("load", located.path, outcome="unsealed")
            undo.pop_all()
            return form.hand_over_unsealed(unsealed)
        undo.pop_all()
        return handed


def _finish_interrupted_save(located: Located) -> None:
    """(1) Of a set; that of a file is finished where it is in the way."""
    if located.place is not None:
        commit.finish_interrupted(located.place)


def _admit(opened: Opened, memory: Memory | None) -> Admitted:
    """(4) Is it what the policy demands?"""
    admitted = admission.admit(opened.model, *opened.located.named, memory=memory)
    admission.warn_if_unsealed(opened.model, admitted)
    return admitted


def _remember(admitted: Admitted, opened: ModelFile, memory: Memory | None) -> None:
    """For the record, and for the next load, that all of the model matched its seal."""
    model = admitted.model
    assert isinstance(model, SealedModel)
    facts = audit.seal_facts(model.seal.statement)
    audit.record("load", model.path, outcome="ok", assurance=admitted.assurance, **facts)
    if memory is not None:
        memory.keep(opened)


def _has_appeared(located: Located, error: IntegrityError) -> bool:
    """Whether nothing was there when it was opened, and something is now. (No link to nothing.)"""
    return isinstance(error.__cause__, _ABSENT) and os.path.exists(_looked_for(located))


def _absent(located: Located, error: IntegrityError) -> OSError | None:
    """Keras's own kind of error where nothing is there at all, which is no refusal.

    Keras is not asked: it might find what has appeared meanwhile, and nobody has checked.
    """
    cause = error.__cause__
    if not isinstance(cause, _ABSENT) or os.path.lexists(_looked_for(located)):
        return None
    return type(cause)(cause.errno, os.strerror(cause.errno or 0), located.path)


def _looked_for(located: Located) -> str:
    """Where a model would lie, or its copy."""
    path = located.path if located.place is None else located.place.directory
    return local_copies.copy_of(path)


def _pinned_by_override(located: Located, error: IntegrityError) -> SealedModel | None:
    return override.admitted(located.path, error, located.place, fd=located.fd, named=located.named)


def _handed_pinned(pinned: SealedModel, form: Form[_Checked, _Unchecked]) -> _Checked:
    """Steps 5 and 6 of what a person let through."""
    with contextlib.ExitStack() as undo:
        undo.callback(pinned.close)
        try:
            verified = holding.verify(pinned)
            undo.callback(verified.release)
            handed = form.hand_over(verified)
        except IntegrityError as error:
            refusal.tell(error)
            raise
        undo.pop_all()
        return handed


def _seal_identity(located: Located) -> tuple[int, int] | None:
    """Which seal a set has now; a single file and its seal are opened as one."""
    if located.place is None:
        return None
    try:
        status = system.stat(os.path.join(located.place.directory, located.place.seal))
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def refuse_broken(path: str) -> None:
    """Look at the structure alone, for an early and clear refusal of what Keras would misname.

    Raises:
        IntegrityError: as :func:`open_verified`, but nothing about the seal of a single file.
    """
    try:
        look_at(local_copies.name_of(path))
    except UnreadableFileError as error:
        if isinstance(error.__cause__, NotADirectoryError):
            return  # nothing is there, and Keras says so
        raise  # Keras would wait for ever on a FIFO, whatever the mode
    except IntegrityError as error:
        if refusal.is_refused(error, report=False):
            raise
