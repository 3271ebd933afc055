# SPDX-License-Identifier: Apache-2.0
"""What this machine remembers of a path, held against the model that is there now.

    memory = Memory(path, place)      # before the model is opened
    memory.contradiction(model)       # once it is open
    memory.keep(model)                # once it was loaded

The order matters: what a save recorded before we looked is at the path when we open it. Others save
meanwhile, so nothing is said of a model that one of them announced, nor while what is remembered
changes under our eyes: then :attr:`Memory.is_unsettled`, and the load begins anew.
"""

from __future__ import annotations

from dataclasses import replace

from keras_integrity_hook import audit, notices
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.errors import (
    HistoryWarning,
    IntegrityError,
    UnreadableFileError,
    UnsealedModelWarning,
)
from keras_integrity_hook.files import local_copies
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.history import directories, judging, seals, store
from keras_integrity_hook.history.seal_places import (
    identity_at,
    identity_of,
    is_sealed_as,
    kind_of,
    place_of_seal,
    seal_place,
)
from keras_integrity_hook.history.seen import Entry, Seen
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.versions import is_below


class Memory:
    """Of one path, for one load or check of what is there.

    Attributes:
        entry: what is remembered, None for nothing.
        contradicted: what :meth:`contradiction` found last.
        can_ask_again: whoever asks opens the model again where :attr:`is_unsettled` says so.
        is_unsettled: it found something, while others saved there; nothing was said of that.
    """

    def __init__(self, path: str, place: Place | None, *, of_machine: bool = False) -> None:
        """Look up what is remembered.

        Args:
            path: of a single file, as the user named it.
            place: where a set lies, None for a single file.
            of_machine: the machine's policy has fixed ``history``.

        Raises:
            UnreadableFileError: the path is changed all the time, or no file can have that name.
        """
        self.directory = directories.in_force(of_machine=of_machine)
        try:
            self.path = real_path(path if place is None else local_copies.name_of(place.path))
        except ValueError as error:  # a name that no file can have
            raise UnreadableFileError(f"cannot be opened ({error})", path=path) from error
        self.contradicted: IntegrityError | None = None
        self.can_ask_again = False
        self.is_unsettled = False
        self._opened = None if place is None else identity_at(place_of_seal(place))
        self._identity = ""
        self._now: Seen | None = None
        self._is_told = False
        self._is_meant = False
        self.entry = store.read(self.directory, self.path)

    def contradiction(self, model: ModelFile, *, beside: bool = False) -> IntegrityError | None:
        """What about ``model``, just opened, contradicts what is remembered; None for nothing.

        Args:
            beside: signatures beside the model vouch for it, so that those in its seal may go.

        Raises:
            ConfigurationError, InsecurePermissionsError: the trust files cannot be used.
        """
        if model.files is None and self._opened is None:
            self._opened = identity_of(system.fstat(model.fd))
        found = self._held_against(self.entry, model, beside=beside)
        if found is not None and self._is_announced(model):
            self._is_meant, found = True, None
        if found is not None:
            now = store.read(self.directory, self.path)
            if now != self.entry:
                found = self._held_against(now, model, beside=beside)
                self.is_unsettled = self.can_ask_again and found is not None
        self.contradicted = None if self.is_unsettled else found
        return self.contradicted

    def _is_announced(self, model: ModelFile) -> bool:
        if model.seal is None:
            return False
        return store.is_announced(self.directory, self.path, self._identity_of(model.seal))

    def stripped(self, path: str) -> IntegrityError | None:
        """Whether a model of another kind had a seal here that is not there any more.

        Args:
            path: what the user calls it.
        """
        kinds = {} if self.entry is None else self.entry.kinds
        gone = [seen for kind, seen in kinds.items() if not is_sealed_as(self.path, kind)]
        return judging.stripped(gone[0], path) if gone else None

    def warn_of(self, error: IntegrityError) -> None:
        """Warn of a contradiction, once for each path and process; record it each time."""
        if self._is_told:
            return
        self._is_told = True
        audit.record("history", error.path, outcome="warned", error=error)
        notices.warn(error.facts(), HistoryWarning, once=self.path)
        notices.first_time((UnsealedModelWarning, error.path))  # one line about it is enough

    def keep(self, model: ModelFile) -> None:
        """Remember ``model``, which was loaded, unless it contradicts what is remembered: that
        stays until a person says otherwise. Never raises."""
        if model.seal is None or self.contradicted is not None or self.is_unsettled:
            return
        kind = kind_of(model.container)
        before = None if self.entry is None else self.entry.kinds.get(kind)
        if before is not None and before.seal == self._identity_of(model.seal):
            store.refresh(self.directory, self.path)
            return
        try:
            now = self._seen(model.seal)
        except IntegrityError:
            return  # who has signed cannot be told, so nothing may be said of it
        if before is not None and not self._is_meant:
            now = _with_highest(now, before)
        if now.is_told_by(before):
            store.refresh(self.directory, self.path)
            return
        kinds = {} if self.entry is None else dict(self.entry.kinds)
        kinds[kind] = now
        opened, where = self._opened, seal_place(self.path, kind)
        store.write_while(
            self.directory,
            Entry(self.path, kinds),
            lambda: opened is not None and identity_at(where) == opened,
        )

    def _held_against(
        self, entry: Entry | None, model: ModelFile, *, beside: bool
    ) -> IntegrityError | None:
        if entry is None:
            return None
        kind = kind_of(model.container)
        before = entry.kinds.get(kind)
        if model.seal is None:
            return (
                self.stripped(model.path)
                if before is None
                else judging.stripped(before, model.path)
            )
        if before is None:  # perhaps in the place of a model of another kind
            kinds = entry.kinds.items()
            seen = [one for other, one in kinds if not is_sealed_as(self.path, other)]
        else:
            seen = [before]
        judged = judging.rollback if beside else judging.contradiction
        for one in seen:
            if one.seal == self._identity_of(model.seal):
                continue
            found = judged(one, self._seen(model.seal), model.path)
            if found is not None:
                return found
        return None

    def _identity_of(self, seal: Seal) -> str:
        self._identity = self._identity or seals.identity(seal.envelope)
        return self._identity

    def _seen(self, seal: Seal) -> Seen:
        if self._now is None:
            self._now = seals.seen(seal.statement, seal.envelope)
        return self._now


def _with_highest(now: Seen, before: Seen) -> Seen:
    """``now`` with the highest versions that were seen until now, under each name."""
    versions = dict(before.versions)
    version = versions.pop(now.name, None)
    mine = now.versions.get(now.name, version)
    if mine is not None and version is not None and is_below(mine, version):
        mine = version
    if mine is not None:
        versions[now.name] = mine
    latest = dict(list(versions.items())[-LIMITS.history_versions :])
    return replace(now, versions=latest)
