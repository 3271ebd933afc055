# SPDX-License-Identifier: Apache-2.0
"""Models are copied to where a server reads them, if every file of them passes.

TensorFlow Serving, Triton and OpenVINO read models in C++, where no hook can stand. So the check
stands before them, in an init container or a unit that runs first: the models are copied into a
private directory beside their destination, *the copy* is checked, and only then its entries get
the names that the server looks for. Whoever can still change the source changes nothing that is
served. What no seal covers is not admitted either, unless it is allowed by name: a Python backend
of Triton beside a good model would be run like any other.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from keras_integrity_hook import api
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import SIGNATURE_NAME, Place, beside
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    SealWriteError,
    UnsealedModelError,
)
from keras_integrity_hook.files import local_copies, location, portable, private_directory
from keras_integrity_hook.files.location import Kind
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.fleet import copying
from keras_integrity_hook.fleet.discovery import model_files
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.report import Report

ADMITTED = ".keras-integrity-admitted"
"""The file in a destination that names the entries which were put there by :func:`admit`."""

_COPY = "models"
_LEFT_BY_SYSTEMS = ("lost+found",)
_UNCOVERED = "would be served with the models, and no seal covers it"
_ALLOW = "Remove it from the source, seal it with its model, or allow it by name (--allow)."


class Checked(NamedTuple):
    """What became of one model, or of one file that belongs to none.

    Attributes:
        path: where it is in the source.
        report: that of the copy, None where it was refused.
        error: why it was refused, or None.
    """

    path: str
    report: Report | None
    error: IntegrityError | None


def admit(source: str, target: str, *, allowed: Sequence[str] = ()) -> list[Checked]:
    """Copy what is at ``source`` into the directory ``target``, all of it or nothing.

    What an earlier call put there is replaced, also where it is not in the source any more. Where
    something is refused, the target stays as it was.

    Args:
        source: a model, a directory with models, or the URL of either.
        target: the directory that the server reads; made if it is not there.
        allowed: patterns for the paths, relative to the source, of files that no seal has to
            cover, as of :mod:`fnmatch`: ``*`` stands for slashes, too.

    Returns:
        One entry for each model, and one for each file that belongs to none and is not allowed.

    Raises:
        ConfigurationError: the target has entries that this function did not put there, lies in
            the source, or another call is at work there.
        UnreadableFileError, RemoteError, LimitExceededError: the source cannot be read.
        SealWriteError: the target cannot be written.
    """
    _refuse_circle(source, target)
    try:
        os.makedirs(target, exist_ok=True)
        fd = system.open(target, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
        try:
            return _admit(source, target, fd, allowed)
        finally:
            portable.close(fd)
    except OSError as error:
        cause = f"cannot be written ({error.strerror or error})"
        raise SealWriteError(cause, path=target) from error


def _admit(source: str, target: str, fd: int, allowed: Sequence[str]) -> list[Checked]:
    _take_turn(fd, target)
    before = _admitted_before(fd, target)
    with private_directory.fresh(fd) as (private, name):
        copy = os.path.join(os.path.abspath(target), name, _COPY)
        os.mkdir(copy)
        with local_copies.standing_for(*copying.copy(source, copy)):
            checked = list(_check(copy, allowed))
        if all(one.error is None for one in checked):
            _put_in_place(fd, private, copy, before)
    return checked


def _take_turn(fd: int, target: str) -> None:
    """Keep every other call out of the target until ``fd`` is closed.

    Raises:
        ConfigurationError: one is at work there.
    """
    try:
        portable.lock(fd)
    except BlockingIOError:
        cause = "another 'admit' is at work there"
        raise ConfigurationError(cause, path=target, remedy="Wait until it has ended.") from None
    except OSError:
        return  # no locks on this file system: renames fail where two meet


def _refuse_circle(source: str, target: str) -> None:
    """Raises ConfigurationError where one of the two lies in the other."""
    found = location.of(source, location.TENSORFLOW)
    if found.kind is Kind.REMOTE:
        return
    paths = [os.path.realpath(found.path), os.path.realpath(target)]
    if os.path.commonpath(paths) in paths:
        cause = f"is in the source, '{source}', or the source in it"
        remedy = "Name a directory elsewhere: what is in the target is served."
        raise ConfigurationError(cause, path=target, remedy=remedy)


def _put_in_place(fd: int, private: int, copy: str, before: Sequence[str]) -> None:
    """Give the entries of the copy their names, and take away those of before.

    What is replaced changes its name in one step where the system can do that, and is removed with
    the private directory. The record names whatever there may be of ours at each moment.
    """
    names = sorted(os.listdir(copy))
    _record(fd, private, [*before, *names])
    there = system.open(copy, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
    try:
        for name in names:
            is_replaced = name in before
            both = (there, os.fsencode(name)), (fd, os.fsencode(name))
            if is_replaced and portable.exchange(*both):
                continue
            if is_replaced:
                system.rename(name, f"{name}.before", src_dir_fd=fd, dst_dir_fd=private)
            system.rename(name, name, src_dir_fd=there, dst_dir_fd=fd)
        for name in set(before) - {*names}:
            system.rename(name, f"{name}.before", src_dir_fd=fd, dst_dir_fd=private)
    finally:
        os.close(there)
    _record(fd, private, names)


def _record(fd: int, private: int, names: Sequence[str]) -> None:
    text = json.dumps(sorted(set(names)))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | portable.O_CLOEXEC
    with open(system.open(ADMITTED, flags, 0o644, dir_fd=private), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    system.rename(ADMITTED, ADMITTED, src_dir_fd=private, dst_dir_fd=fd)
    os.fsync(fd)


def _admitted_before(fd: int, target: str) -> list[str]:
    """What is to be replaced. Raises ConfigurationError where there is anything else."""
    names = _recorded(fd, target)
    there = set(os.listdir(fd)) - {ADMITTED, *_LEFT_BY_SYSTEMS}
    foreign = {one for one in there - {*names} if not private_directory.has_our_name(one)}
    if foreign:
        cause = f"has '{min(foreign)}', which 'admit' did not put there and has not checked"
        remedy = "Name a directory for admitted models alone: all that is in it is served."
        raise ConfigurationError(cause, path=target, remedy=remedy)
    return sorted(there & {*names})


def _recorded(fd: int, target: str) -> list[str]:
    flags = os.O_RDONLY | portable.O_NOFOLLOW | portable.O_CLOEXEC
    try:
        record = system.open(ADMITTED, flags, dir_fd=fd)
    except FileNotFoundError:
        return []
    with open(record, "rb") as file:
        try:
            names = json.loads(file.read(LIMITS.policy))
        except (ValueError, RecursionError):
            names = None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    cause = f"'{ADMITTED}' there cannot be read: nobody knows what 'admit' put there"
    raise ConfigurationError(cause, path=target, remedy="Empty the directory.")


def _check(copy: str, allowed: Sequence[str]) -> Iterator[Checked]:
    """Every model in the copy, and every file there that belongs to none, by their names in the
    source: so rules, the history and the audit log know them."""
    covered: set[str] = set()
    refused: list[str] = []
    for found in model_files([copy]):
        name = local_copies.name_of(found.path)
        report, error = None, found.error
        try:
            if error is None:
                report = _sealed(name, api.verify_each_at_hand(name))
                covered.update(_files_of(found.path))
        except IntegrityError as refusal:
            error = refusal
        if error is not None:
            error.path, report = name, None
            refused.append(found.path)  # what is in it is told of once
        yield Checked(name, report, error)
    for path in copying.files_below(copy):
        relative = os.path.relpath(path, copy)
        is_told = any(path == one or path.startswith(one + os.sep) for one in refused)
        if is_told or path in covered or any(fnmatchcase(relative, one) for one in allowed):
            continue
        name = local_copies.name_of(path)
        yield Checked(name, None, UnsealedModelError(_UNCOVERED, path=name, remedy=_ALLOW))


def _sealed(path: str, reports: Sequence[Report]) -> Report:
    """The first of ``reports``, which are of all models that ``path`` is.

    Raises:
        UnsealedModelError: nobody vouches for the content of one.
    """
    if any(report.assurance == "none" for report in reports):
        raise UnsealedModelError("has no seal, and only what has one is served", path=path)
    return reports[0]


def _files_of(path: str) -> Iterator[str]:
    """The files that the check of a model was about, and what vouches for them."""
    folder, name = os.path.split(path)
    yield from (path, *(os.path.join(folder, one) for one in beside(name)))
    named = recognition.recognise(path)
    places = recognition.sets_in_directory(path) or ([named] if named else [])
    for place in places:
        yield os.path.join(place.directory, place.seal)
        yield os.path.join(place.directory, SIGNATURE_NAME)
        yield from _members_of(place, path)


def _members_of(place: Place, path: str) -> Iterator[str]:
    with open_set(path, place, hold=False) as model:
        assert model.files is not None
        for part in model.files.parts:
            yield os.path.join(place.directory, part.name)
