# SPDX-License-Identifier: Apache-2.0
"""One model, examined: every question that a load would ask, and each answered even so.

A load ends at the first reason to refuse. Here all of them are wanted: a model that nobody signed
may be damaged, too. What goes wrong is a finding and no error, whatever it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial

from keras_integrity_hook import api, settings
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    AlreadySealedError,
    IntegrityError,
    RegistryError,
    UnreadableFileError,
)
from keras_integrity_hook.files import confinement, local_copies
from keras_integrity_hook.fleet import bringing, passed_over, search, targets
from keras_integrity_hook.fleet.bringing import Here
from keras_integrity_hook.fleet.drafts import Draft
from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.fleet.options import Options, Verb
from keras_integrity_hook.fleet.patience import Turn
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.loading import at_hand
from keras_integrity_hook.policy import admission, evidence, registration
from keras_integrity_hook.settings import Settings
from keras_integrity_hook.verification import digests


def examine(location: str, options: Options) -> Finding:
    """What is to be said of the model at ``location``. Never raises for anything about it.

    Args:
        location: the path or URL of one model; of a directory it is the first that is found.
    """
    remote = targets.is_remote(location)
    if remote:
        found = search.find([location], to_change=False)
        target = next(iter(found), Target(location))
    else:
        target = Target(location, *targets.stored_at(location))
    return examine_target(target, options)


def examine_target(target: Target, options: Options) -> Finding:
    """As :func:`examine`, of a model that was found by :func:`search.find`."""
    return examine_each((target,), options)[0]


def examine_each(some: Sequence[Target], options: Options) -> list[Finding]:
    """As :func:`examine_target`, one after the other.

    What is configured is read once for all of them, and copies of single files lie in one private
    directory: either would take longer than to check a small model.
    """
    found: list[Finding] = []
    while len(found) < len(some):
        rest = some[len(found) :]
        turn = Turn(partial(_go_through, rest, options), options.seconds)
        in_time = turn.is_done()
        found += turn.found
        if not in_time:
            late = some[len(found)]
            found.append(_refused(late, options, bringing.late(options.seconds, late.location)))
    return found


def _go_through(some: Sequence[Target], options: Options, turn: Turn) -> None:
    try:
        with bringing.shared_folder(), _in_force(options):
            for target in some:
                if options.verb is Verb.SCAN and targets.is_remote(target.location):
                    turn.begin()
                turn.end(examine_one(target, options))
    except (IntegrityError, OSError) as error:  # the policy has a mistake, or the disk is full
        for target in some[len(turn.found) :]:
            turn.end(_refused(target, options, error))


def examine_one(target: Target, options: Options) -> Finding:
    """As :func:`examine_target`, in the block of :func:`examine_each`."""
    draft = Draft(target, options.run)
    try:
        if target.error is not None:
            draft.not_found(target.error)
        else:
            _ACTS[options.verb](target, options, draft)
    except IntegrityError as error:
        draft.refuse(error)
    except Exception as error:  # of a million models one finds what nobody thought of
        draft.refuse(_unexpected(error, target.location))
    return draft.finding()


def _refused(target: Target, options: Options, error: Exception) -> Finding:
    draft = Draft(target, options.run)
    if not isinstance(error, IntegrityError):
        error = _unexpected(error, target.location)
    draft.refuse(error)
    return draft.finding()


def _in_force(options: Options) -> contextlib.AbstractContextManager[None]:
    if options.policy:
        return settings.under(options.policy, "the policy of the audit")
    return settings.snapshot()


def _scan(target: Target, options: Options, draft: Draft) -> None:
    with bringing.brought(target, options) as here:
        draft.facts["bytes_read"] = here.size
        for place in here.places:
            try:
                with _opened(here, place) as model:
                    _look_at(model, options, draft)
            except IntegrityError as error:
                draft.refuse(error)  # a directory can be two models, and neither hides the other


def _look_at(model: ModelFile, options: Options, draft: Draft) -> None:
    draft.opened(model)
    demands = admission.demands_on(model)
    admitted = model
    refused = None
    try:
        memory = admission.memory_of(model.path, _place_of(model))
        allowed = admission.admit(model, memory=memory)
        admitted = allowed.model
        draft.signed_by(allowed.signers)
        if allowed.is_registered:
            draft.facts["is_registered"] = True
    except IntegrityError as error:
        refused = error
    _check(admitted, draft)
    if options.inspect:
        _inspect(model, demands, draft)
    if refused is not None:
        draft.refuse(refused)
    if isinstance(model, SealedModel):
        _ask_of_seal(model, demands[0], draft)


def _check(model: ModelFile, draft: Draft) -> None:
    """Whether the content matches its seal."""
    try:
        if isinstance(model, SealedModel):
            digests.check_content(model)
        else:
            digests.check_members(model)
    except IntegrityError as error:
        draft.refuse(error)


def _inspect(model: ModelFile, demands: tuple[Settings, ...], draft: Draft) -> None:
    from keras_integrity_hook.inspection import inspecting, judging

    try:
        found = inspecting.inspect(model).findings
    except IntegrityError as error:
        draft.refuse(error)
        return
    draft.inspected(judging.as_set(found, demands[0]))
    for one in demands:
        stopping = judging.stopping(found, one)
        if stopping:
            draft.refuse(judging.refusal(stopping, model.path))
            return


def _ask_of_seal(model: SealedModel, demands: Settings, draft: Draft) -> None:
    """Who has signed, where no policy asked; and what the registry knows, where one is named."""
    if "signers" not in draft.facts:
        signers = evidence.signers_of(model.seal, demands)
        draft.signed_by(tuple(signer.name for signer in signers))
    if demands.registry is not None and "is_registered" not in draft.facts:
        with contextlib.suppress(RegistryError):  # one that does not answer was told of already
            root = (model.seal.statement.root,)
            known = registration.verdict(root, registration.keys_on(model.seal.envelope), demands)
            draft.facts["is_registered"] = None if known is None else bool(known.registrations)


def _opened(here: Here, place: Place | None) -> ModelFile:
    if place is None:
        return api.opened(here.name)
    return open_set(here.name, place, hold=False)


def _place_of(model: ModelFile) -> Place | None:
    return None if model.files is None else model.files.place


def _seal(target: Target, options: Options, draft: Draft) -> None:
    """Seal what has no seal; what has one is examined, and stays as it is."""

    def put(path: str) -> None:
        api.seal(path, algorithm=options.algorithm or None)

    try:
        _changed(target, options, draft, put)
    except AlreadySealedError:
        _scan(target, options, draft)


def _sign(target: Target, options: Options, draft: Draft) -> None:
    def put(path: str) -> None:
        api.sign(path, key=options.key)

    _changed(target, options, draft, put)


def _changed(target: Target, options: Options, draft: Draft, act: Callable[[str], None]) -> None:
    """Change a model by ``act``, where it lies, and say what it is then."""
    with confinement.confined_to(target.place), at_hand.to_change(target.location) as name:
        _refuse_foreign(name)
        act(name)
        with api.opened(name) as model:
            draft.opened(model)
            if isinstance(model, SealedModel):
                _ask_of_seal(model, admission.demands_on(model)[0], draft)
    draft.facts["bytes_read"] = target.size


def _refuse_foreign(name: str) -> None:
    """Refuse to change what comes from a store and is not recognisably Keras's: on a disk that was
    passed over when it was found."""
    copy = local_copies.copy_of(name)
    if copy == name or recognition.recognise(copy) is not None:
        return
    reason = passed_over.why_not_keras(copy)
    if reason:
        cause = "it is not recognisably a Keras model, and is left as it is"
        raise UnreadableFileError(cause, path=name, remedy=reason)


_ACTS = {Verb.SCAN: _scan, Verb.SEAL: _seal, Verb.SIGN: _sign}


def _unexpected(error: Exception, path: str) -> UnreadableFileError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        remedy = "It was there when it was found: somebody removed it, or put another in its place."
        return UnreadableFileError("it is not there any more", path=path, remedy=remedy)
    return UnreadableFileError(f"it cannot be examined ({targets.told(error)})", path=path)
