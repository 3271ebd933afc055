# SPDX-License-Identifier: Apache-2.0
"""Seal, unseal, sign, verify, scan and inspect models; needs neither Keras nor h5py.

What only some of them need is imported by those: ``keras-integrity verify`` is to start at once.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from dataclasses import replace as replaced
from typing import TYPE_CHECKING, Any, TypeVar, cast

from keras_integrity_hook import notices, settings
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.containers.opening import (
    open_archive_alone,
    open_archive_around_seal,
    open_set,
)
from keras_integrity_hook.errors import (
    AlreadySealedError,
    ConfigurationError,
    DamagedFileError,
    IntegrityError,
    IntegrityWarning,
    SealWriteError,
    UnsealedModelError,
    printable,
)
from keras_integrity_hook.files import atomic, confinement, local_copies, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.target import real_path
from keras_integrity_hook.loading import at_hand
from keras_integrity_hook.policy import admission
from keras_integrity_hook.report import (
    InspectionInfo,
    Report,
    report_on,
    report_on_overridden,
)
from keras_integrity_hook.saving import commit, settled
from keras_integrity_hook.sealing.content import Content
from keras_integrity_hook.settings import Store
from keras_integrity_hook.tracebacks import left_out
from keras_integrity_hook.verification import digests, pinning

if TYPE_CHECKING:
    from keras_integrity_hook.contracts.contract import InputContract
    from keras_integrity_hook.verification.differences import Comparison
else:  # for those who look annotations up at run time
    Comparison = InputContract = object

Location = str | os.PathLike[str]
_Change = TypeVar("_Change", bound=Callable[..., Report])


def _put_back(change: _Change) -> _Change:
    """``change`` of a model, also of one behind a URL: what it did is put back there."""

    @functools.wraps(change)
    def change_and_put_back(path: Location, *args: Any, **kwargs: Any) -> Report:
        with at_hand.to_change(path) as name:
            return change(name, *args, **kwargs)

    return cast(_Change, change_and_put_back)


@left_out
def verify(path: Location) -> Report:
    """Check the whole model against its seal.

    Args:
        path: a ``.keras`` or HDF5 file, a model directory (Keras's, SavedModel, Orbax), the
            ``.weights.json`` of sharded weights, or the prefix of a TensorFlow checkpoint; or the
            URL of one (``s3://…``).

    Raises:
        RemoteError: what lies behind the URL cannot be had.
        ChecksumMismatchError: the content does not match.
        DamagedFileError, MalformedSealError, LimitExceededError: the structure is broken.
        UnsealedModelError: no seal, and ``KERAS_INTEGRITY_UNSEALED=reject``.
        NotAModelError, UnreadableFileError: nothing that could be checked.

    Example:
        >>> import keras_integrity_hook
        >>> keras_integrity_hook.verify("model.keras").assurance  # doctest: +SKIP
        'integrity only'
    """
    portable.require()
    with at_hand.to_read(path) as name:
        reports = verify_each_at_hand(name)
        # What is sealed tells nothing of what lies in the same directory and is not.
        return next((one for one in reports if one.assurance == "none"), reports[0])


def verify_each_at_hand(name: str) -> list[Report]:
    """As :func:`verify`, of all that ``name`` is: a directory can be two models, and neither hides
    the other. It lies here, if only as a copy that :func:`files.local_copies.standing_for` knows.
    """
    return [_verified(name, place) for place in (_place_of(name), *_others_of(name))]


def _verified(name: str, place: Place | None) -> Report:
    """Check the file ``name``, or what it is as the set at ``place``."""
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(settings.snapshot())
            memory = admission.memory_of(name, place)
            model = stack.enter_context(_opened_as(name, place))
            report = report_on(model)
            admitted = admission.admit(model, memory=memory)
            if memory is not None and memory.contradicted is not None:
                report = replaced(report, contradiction=memory.contradicted.cause)
            if isinstance(admitted.model, SealedModel):
                digests.check_content(admitted.model)
            if admitted.model is model:  # not pinned by a signature beside it
                report = _as_sealed(report)
            if not admitted.signers:
                return report
            return replaced(report, assurance="signed", signers=admitted.signers)
    except IntegrityError as error:
        from keras_integrity_hook.loading import override

        pinned = override.admitted(name, error, place)
        if pinned is None:
            raise
        with pinned:
            return report_on_overridden(pinned)


@left_out
def inspect(path: Location, *, digest: bool = False) -> Report:
    """Read the seal without checking the content; raises as :func:`verify` but for mismatches.

    Args:
        path: as in :func:`verify`.
        digest: compute that of the content as it is, too, which reads all of it.
    """
    portable.require()
    from keras_integrity_hook.containers.parts import parts_of

    with at_hand.to_read(path) as name:
        with _opened_as(name, _place_of(name)) as model:
            try:
                inspection = _inspected(model)
            except IntegrityError as error:  # its seal and its parts are shown all the same
                inspection = InspectionInfo((), trouble=error.cause)
            report = replaced(report_on(model), parts=parts_of(model), inspection=inspection)
        if not digest:
            return report
        algorithm = "sha256" if report.seal is None else report.seal.algorithm
        with pinning.open_as_it_is(name, _place_of(name), algorithm) as found:
            actual = pinning.content_digest(found.seal)
    if report.seal is None:
        return replaced(report, digest=actual)
    stated = pinning.spelled_digest(report.seal.root, algorithm, report.seal.files)
    return replaced(report, digest=actual, is_intact=actual == stated)


@left_out
def scan(path: Location) -> Report:
    """What loading a model would do: run code in it, read other files, exhaust the machine.

    Nothing is deserialized, Keras is not imported, and of a large model little is read. Whether
    the content matches its seal is another question, see :func:`verify`.

    Args:
        path: as in :func:`verify`.

    Returns:
        The report on the model, with its ``inspection``.

    Raises:
        DamagedFileError, MalformedSealError, LimitExceededError: the structure is broken.
        NotAModelError, UnreadableFileError: nothing that could be inspected.
        ConfigurationError: a setting is wrong.

    Example:
        >>> import keras_integrity_hook
        >>> keras_integrity_hook.scan("model.keras").inspection.verdict  # doctest: +SKIP
        <Verdict.FINE: 'fine'>
    """
    portable.require()
    with at_hand.to_read(path) as name, settings.snapshot():
        places = (_place_of(name), *_others_of(name))
        reports = [_scanned(name, place) for place in places]
    inspections = [report.inspection for report in reports if report.inspection]
    # A directory can be two models, and neither hides the other.
    findings = dict.fromkeys(found for one in inspections for found in one.findings)
    read = sum(one.bytes_read for one in inspections)
    return replaced(reports[0], inspection=InspectionInfo(tuple(findings), read))


def _scanned(name: str, place: Place | None) -> Report:
    with _opened_as(name, place) as model:
        return replaced(report_on(model), inspection=_inspected(model))


def _inspected(model: ModelFile) -> InspectionInfo:
    """The findings in an open model, as the settings judge them; raises as :func:`scan`."""
    from keras_integrity_hook.inspection import inspecting, judging

    found = inspecting.inspect(model)
    judged = judging.as_set(found.findings, settings.at(model.path))
    return InspectionInfo(judged, found.read)


@left_out
def diff(good: Location, bad: Location) -> Comparison:
    """Where the model at ``bad`` differs from ``good``, a copy of it that is in order.

    Seals are not compared. Read piece by piece, without Keras; both may be any kind of model.

    Raises:
        IntegrityError: one of its kinds; there is no model to be read at a path. ``bad`` may be a
            single file that is broken in any way.
    """
    from keras_integrity_hook.verification.comparison import compare_paths

    with at_hand.to_read(good) as first, at_hand.to_read(bad) as second:
        return compare_paths(first, second)


@left_out
@_put_back
def seal(path: Location, *, algorithm: str | None = None, store: str | None = None) -> Report:
    """Put a seal into an unsealed file, which is replaced atomically, or beside a set of files.

    Args:
        path: as in :func:`verify`.
        algorithm: ``sha256``, ``sha512``, ``blake2b`` or, with its extra, ``blake3``; None for
            that of the settings, which is ``sha256`` by default.
        store: ``"sidecar"`` leaves a single file as it is and puts the seal into
            ``<file>.seal``, ``"embedded"`` puts it into the file; None: as the settings say.

    Raises:
        AlreadySealedError: it has one.
        SealWriteError: the sealed copy could not be written; the file is as it was.
        AuditError: the policy wants it recorded and it cannot be; the file is as it was.
        DamagedFileError, NotAModelError, UnreadableFileError, ConfigurationError: see ``verify``.
    """
    portable.require()
    from keras_integrity_hook.saving import rewrite

    with opened(path) as model:
        if model.seal is not None:
            raise AlreadySealedError("the model has a seal already", path=model.path)
        demands = settings.at(model.path)
        where = demands.store if store is None else _checked_store(store)
        rewrite.put_seal(model, algorithm or demands.algorithm, where)
    return _stated(path)


@left_out
@_put_back
def reseal(path: Location, *, reason: str) -> Report:
    """Replace the seal of a model that was changed on purpose by one over what it is now.

    What was appended to an archive, or is its comment, is no part of the model and is put into
    ``<file>.appended``. The new seal says why, and the root that the old one stated. It takes over
    the input contract, unless a :func:`contract` block states one, and nothing else: name and
    version come from the settings or :func:`provenance`, and older signatures go.

    Args:
        path: as in :func:`verify`; whether the content matches its seal does not matter.
        reason: why it was changed, one line of text.

    Raises:
        UnsealedModelError: there is no seal to replace; :func:`seal` makes the first.
        DamagedFileError, MalformedSealError: the structure is broken, so nobody can tell what the
            content would be.
        SealWriteError: the new seal could not be written; the file is as it was.
        ConfigurationError: the reason is empty, too long or not one line.
    """
    portable.require()
    from keras_integrity_hook.contracts import stated
    from keras_integrity_hook.saving import provenance, rewrite

    with _opened_to_mend(path) as model:
        if model.seal is None:
            remedy = "Seal it with 'keras-integrity seal PATH'."
            cause = "the model has no seal to replace"
            raise UnsealedModelError(cause, path=model.path, remedy=remedy)
        algorithm = settings.at(model.path).algorithm
        said = model.seal.statement
        with provenance.resealing(reason, said.root), stated.kept(said.inputs):
            rewrite.put_seal(model, algorithm, settled.store_of(model.seal), "reseal")
    return _stated(path)


@left_out
@_put_back
def unseal(path: Location) -> Report:
    """Take the seal out again, or away: what is left is the original content, byte for byte.

    What another program appended to an archive, or wrote into its comment, is put into
    ``<file>.appended``; members that it added stay.

    Raises:
        UnsealedModelError: there is none.
        SealWriteError: the copy could not be written; the file is as it was.
        AuditError: as for :func:`seal`.
    """
    portable.require()
    from keras_integrity_hook.saving import rewrite

    with _opened_to_mend(path) as model:
        if not isinstance(model, SealedModel):
            raise UnsealedModelError("the model has no seal to take out", path=model.path)
        rewrite.take_out(model)
        if model.files is not None:
            return report_on(model.without_seal())  # what is left may not even be a model
    return _stated(path)


@left_out
@_put_back
def set_contract(path: Location, contract: InputContract | None) -> Report:
    """Give a sealed model an input contract, or take it away; all else of its seal stays.

    The model itself is not changed by a byte. Signatures go, because they cover what the seal says:
    the model is signed anew where the settings name a key.

    Args:
        path: as in :func:`verify`.
        contract: None for none.

    Raises:
        UnsealedModelError: there is no seal to put it into; :func:`seal` makes one.
        ChecksumMismatchError: the content does not match its seal; nobody should vouch for it.
        LimitExceededError: the contract is longer than a seal may say.
        SigningError: the model has to be signed and could not be.
        SealWriteError, AuditError: as for :func:`seal`; the model is as it was.
    """
    portable.require()
    from keras_integrity_hook.contracts import spelling
    from keras_integrity_hook.saving import restate, rewrite

    value = None if contract is None else spelling.checked(contract.to_dict())
    with opened(path) as model:
        if not isinstance(model, SealedModel):
            cause = "the model has no seal to put an input contract into"
            remedy = "Seal it with 'keras-integrity seal PATH'."
            raise UnsealedModelError(cause, path=model.path, remedy=remedy)
        with rewrite.written(model.path, "reseal"):
            restate.set_inputs(model, value)
    return _stated(path)


@left_out
@_put_back
def sign(path: Location, *, key: str, ask: Callable[[str], str] | None = None) -> Report:
    """Add a signature to the seal of a model whose content matches it; nothing else changes.

    It vouches for all that the seal says, the model's name and version among it. Where the same
    key has signed already nothing is done.

    Args:
        path: as in :func:`verify`.
        key: the path of a private key, ``env:NAME``, or a signer URI (``hsm:…``, ``awskms:…``).
        ask: asks a person for a passphrase or PIN, given what it is for; without it the
            environment has to give it (``KERAS_INTEGRITY_KEY_PASSPHRASE_FILE``).

    Raises:
        UnsealedModelError: there is no seal to sign.
        SigningError: the key cannot be used.
        RevokedModelError: the model was recalled.
        SealWriteError: the new file could not be written; the one there is as it was.
        ChecksumMismatchError and the rest: as :func:`verify`.
    """
    portable.require()
    from keras_integrity_hook.saving import resign, rewrite

    with opened(path) as model:
        if not isinstance(model, SealedModel):
            raise UnsealedModelError("the model has no seal to sign", path=model.path)
        with rewrite.written(model.path, "sign"):
            resign.add_signature(model, key, ask)
    return _stated(path)


def _stated(path: Location) -> Report:
    """What the seal says, without a walk through the parts, which takes long in a crafted file."""
    with opened(path) as model:
        return _as_sealed(report_on(model))


def _as_sealed(report: Report) -> Report:
    """``report``, when the content was compared with the seal, or the seal was made from it."""
    return report if report.seal is None else replaced(report, is_intact=True)


def opened(path: Location) -> ModelFile:
    """The model at ``path``, once what is left of a save is in order; raises as :func:`inspect`."""
    name = os.fsdecode(path)
    return _opened_as(name, _place_of(name))


def _place_of(name: str) -> Place | None:
    """The set that ``name``, of a model that is at hand, is."""
    return recognition.recognise(local_copies.copy_of(name))


def _others_of(name: str) -> list[Place]:
    """What the directory ``name`` is besides."""
    local = local_copies.copy_of(name)
    return recognition.sets_in_directory(local)[1:] if os.path.isdir(local) else []


def _opened_to_mend(path: Location) -> ModelFile:
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


def _opened_as(name: str, place: Place | None) -> ModelFile:
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


def _checked_store(name: str) -> Store:
    try:
        return Store(name)
    except ValueError:
        allowed = ", ".join(one.value for one in Store)
        cause = f"store is '{printable(str(name))}'; allowed are {allowed}"
        raise ConfigurationError(cause) from None
