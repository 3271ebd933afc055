# SPDX-License-Identifier: Apache-2.0
"""From the paths a person names to the model files that are meant.

Nothing that lies in a directory can hide a model from a command: a set takes the files that are
its own, and everything else in and below its directory is visited too. So is a file of a set that
has a seal of its own: whoever saved it vouched for it by itself. Commands that write ask for less:
what ``passed_over`` names is told to them, and is not theirs to change.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import NamedTuple

from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.formats import SUFFIXES
from keras_integrity_hook.containers.kinds import KINDS, SEAL_SUFFIX, Place
from keras_integrity_hook.containers.opening import open_model, open_set, read_sidecar
from keras_integrity_hook.errors import (
    DamagedFileError,
    IntegrityError,
    LimitExceededError,
    MalformedSealError,
    NotAModelError,
    UnreadableFileError,
)
from keras_integrity_hook.files.atomic import is_ours
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.fleet import passed_over
from keras_integrity_hook.fleet.passed_over import Kind
from keras_integrity_hook.limits import LIMITS


class Role(Enum):
    """How a path came to be found."""

    MODEL = auto()
    LINK = auto()  # a symbolic link met below a directory, to a model
    PART = auto()  # a file of a set, with a seal of its own: to change it would break the set's
    LINKED_DIRECTORY = auto()  # not looked into: it may lead anywhere, or round in a circle
    PASSED_OVER = auto()  # not a model, or not for us to change


class Found(NamedTuple):
    """A path to work on, or the reason why a part of a directory cannot be searched.

    Attributes:
        path: as named, or joined to the directory that was named.
        role: what to bear in mind before it is changed.
        error: why there is nothing to work on at ``path``, or None.
        whole: the set that a ``PART`` belongs to.
        place: where it lies, an absolute path without links; empty for what was named itself.
        kind: what was ``PASSED_OVER``, or None.
        reason: why it was, a sentence.
    """

    path: str
    role: Role = Role.MODEL
    error: IntegrityError | None = None
    whole: str = ""
    place: str = ""
    kind: Kind | None = None
    reason: str = ""


class _Folder(NamedTuple):
    """The entries of one directory, by name, sorted."""

    files: list[str]
    folders: list[str]
    links: frozenset[str]


class _Scope(NamedTuple):
    """The files that belong to a set: their paths, and whether its seal covers them."""

    path: str
    members: frozenset[str]
    sealed: bool


def model_files(paths: Iterable[str], *, to_change: bool = False) -> Iterator[Found]:
    """The models to work on, in a stable order; a named file is taken whatever its suffix.

    A directory is searched without following the links in it to other directories; one that is
    named may be a link. What cannot be searched, and a directory without any model, comes out as
    an error in its place: a check that looked at nothing must not pass.

    Args:
        to_change: they are going to be written to: pass over what is not named itself and is not
            recognisably a Keras model, or lies where another program counts on its files.
    """
    for path in paths:
        if os.path.isdir(path):
            top = real_path(path)
            for found in _tree(path, to_change=to_change):
                below = found.path[len(path) :].lstrip(os.sep)
                yield found._replace(place=os.path.join(top, below) if below else top)
        else:
            yield Found(path)


def _tree(top: str, *, to_change: bool) -> Iterator[Found]:
    found_one = False
    passed: list[Kind] = []
    entries = 0
    pending: list[tuple[str, tuple[_Scope, ...]]] = [(top, ())]
    while pending:
        path, scopes = pending.pop()
        try:
            folder = _listed(path)
        except OSError as error:
            found_one = True
            yield Found(path, error=_unsearchable(error, path))
            continue
        entries += len(folder.files) + len(folder.folders)
        if entries > LIMITS.tree_entries:
            cause = f"there are over {LIMITS.tree_entries} entries below this directory"
            yield Found(top, error=LimitExceededError(cause, path=top))
            return
        sets, scopes = _whole_directories(path, scopes)
        for found in (*sets, *_files(path, folder, scopes)):
            told = _if_keras(found) if to_change else found
            if told.kind is None:
                found_one = True
            else:
                passed.append(told.kind)
            yield told
        skipped = set(folder.links)
        for name in folder.folders:
            if name in folder.links:
                linked = _linked(os.path.join(path, name))
                found_one |= linked.role is Role.LINK
                yield linked
            elif to_change and (kind := passed_over.directory_kind(os.path.join(path, name))):
                passed.append(kind)
                skipped.add(name)
                yield _passed_over(os.path.join(path, name), kind, kind.reason)
        # The last one comes first: what is below a directory follows it at once.
        for name in reversed(folder.folders):
            below = os.path.join(path, name)
            # What a save that is going on, or was killed, has there for a moment.
            if name not in skipped and not is_ours(below):
                pending.append((below, scopes))
    if not found_one:
        yield Found(top, error=_nothing_in(top, passed))


def _if_keras(found: Found) -> Found:
    """What was found, unless it is a single file that is not recognisably a Keras model."""
    if found.error is not None or recognition.recognise(found.path) is not None:
        return found
    reason = passed_over.why_not_keras(found.path)
    return _passed_over(found.path, Kind.FILE, reason) if reason else found


def _passed_over(path: str, kind: Kind, reason: str) -> Found:
    return Found(path, Role.PASSED_OVER, kind=kind, reason=reason)


def _nothing_in(top: str, passed: list[Kind]) -> NotAModelError:
    if not passed:
        cause = f"no {', '.join(SUFFIXES)} file and no other model in this directory"
        return NotAModelError(cause, path=top)
    cause = f"no Keras model in this directory, only {passed_over.summary(passed)}"
    remedy = "Name what is to be changed all the same; --dry-run of 'seal' says what this was."
    return NotAModelError(cause, path=top, remedy=remedy)


def _listed(path: str) -> _Folder:
    files: list[str] = []
    folders: list[str] = []
    links: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:
                is_folder = False  # a link in a circle, or into what may not be looked into
            (folders if is_folder else files).append(entry.name)
            if entry.is_symlink():
                links.append(entry.name)
            if len(files) + len(folders) > LIMITS.tree_entries:
                break
    return _Folder(sorted(files), sorted(folders), frozenset(links))


def _whole_directories(
    path: str, scopes: tuple[_Scope, ...]
) -> tuple[list[Found], tuple[_Scope, ...]]:
    """The directory ``path`` itself, where it is a set, and the scopes for what lies in it."""
    inner = []
    found = None
    for place in recognition.sets_in_directory(path):
        scope = _scope(place)
        outer = _scope_around(scope.members, scopes)
        inner.append(scope)
        if outer is None:
            found = Found(path)
        elif scope.sealed and found is None:
            found = Found(path, Role.PART, whole=outer.path)
    return [] if found is None else [found], (*scopes, *inner)


def _files(path: str, folder: _Folder, scopes: tuple[_Scope, ...]) -> Iterator[Found]:
    """The models in one directory that are files or sets of one stem, by name."""
    found: dict[str, Found] = {}
    inner = list(scopes)
    for place in recognition.stems_among(path, folder.files):
        scope = _scope(place)
        head = os.path.join(path, place.head or place.stem)
        outer = _scope_holding(head, scopes)
        inner.append(scope)
        if outer is None or scope.sealed:
            found[place.stem] = _as_met(place.path, place.head in folder.links, outer)
    for name in folder.files:
        file = os.path.join(path, name)
        if name.lower().endswith(SUFFIXES):
            whole = _scope_holding(file, inner)
            if whole is None or _has_own_seal(file, whole):
                found[name] = _as_met(file, name in folder.links, whole)
        elif name.endswith(SEAL_SUFFIX) and _is_bereft(path, name, folder):
            cause = "its seal is there, and the file that a load begins with is not"
            lost = file.removesuffix(SEAL_SUFFIX)
            found[name] = Found(lost, error=DamagedFileError(cause, path=lost))
    for name in sorted(found):
        yield found[name]


def _as_met(path: str, is_link: bool, whole: _Scope | None) -> Found:
    if whole is not None:
        return Found(path, Role.PART, whole=whole.path)
    return Found(path, Role.LINK if is_link else Role.MODEL)


def _linked(path: str) -> Found:
    """A linked directory: one model, or something that has to be named to be searched."""
    is_set = recognition.recognise(path) is not None
    return Found(path, Role.LINK if is_set else Role.LINKED_DIRECTORY)


def _scope(place: Place) -> _Scope:
    """The files of the set at ``place``; none where that cannot be told, so that all are visited.

    What a seal lists counts only where a set of this kind has such files: a seal is no better than
    who wrote it.
    """
    try:
        with open_set(place.path, place, hold=False) as model:
            assert model.files is not None
            names = [part.name for part in model.files.parts]
            sealed = model.seal is not None
    except IntegrityError:
        return _Scope(place.path, frozenset(), os.path.lexists(_seal_of(place)))
    if place.kind.whole_directory:
        own = [name for name in names if place.kind.is_read(name)]
    else:
        own = [name for name in names if place.owns(name)]
    members = frozenset(os.path.join(place.directory, name) for name in own)
    return _Scope(place.path, members, sealed)


def members_of(place: Place) -> frozenset[str]:
    """The paths of the files that belong to the set at ``place``; none where nobody can tell."""
    return _scope(place).members


def _seal_of(place: Place) -> str:
    return os.path.join(place.directory, place.seal)


def _scope_around(members: frozenset[str], scopes: Iterable[_Scope]) -> _Scope | None:
    """The set that all of ``members`` belong to, too."""
    return next((scope for scope in scopes if members and members <= scope.members), None)


def _scope_holding(path: str, scopes: Iterable[_Scope]) -> _Scope | None:
    return next((scope for scope in scopes if path in scope.members), None)


def _has_own_seal(path: str, whole: _Scope) -> bool:
    """Whether a file of the set ``whole`` has a seal, or is too damaged to tell.

    Files of any form may be among the assets of a model, so that what cannot be read as a model is
    left to the set's seal, where it has one.
    """
    try:
        with open_model(path) as model:
            return model.seal is not None
    except (MalformedSealError, UnreadableFileError):
        return True
    except NotAModelError:
        return False
    except IntegrityError:
        return not whole.sealed


def _is_bereft(folder: str, name: str, entries: _Folder) -> bool:
    """Whether the seal ``name`` is that of a set of one stem that lost the head of its files."""
    stem = name.removesuffix(SEAL_SUFFIX)
    present = set(entries.files)
    if not stem or stem in present or f"{stem}.index" in present:
        return False
    try:
        seal = read_sidecar(os.path.join(folder, name))
    except IntegrityError:
        return False  # a file of somebody else's that happens to end so
    if seal is None:
        return False
    kind = KINDS.get(seal.statement.container)
    if kind is None or kind.whole_directory:
        return False
    listed = {member.name.replace("*", stem, 1) for member in seal.statement.files}
    return bool(listed & present)


def _unsearchable(failure: OSError, path: str) -> UnreadableFileError:
    cause = f"the directory cannot be searched ({failure.strerror})"
    return UnreadableFileError(cause, path=path)
