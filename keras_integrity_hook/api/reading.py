# SPDX-License-Identifier: Apache-2.0
"""Verify, inspect, scan and compare models: nothing is changed, but for what an interrupted save
left, which is brought to its end."""

from __future__ import annotations

import contextlib
from dataclasses import replace as replaced
from typing import TYPE_CHECKING

from keras_integrity_hook import settings
from keras_integrity_hook.api import opening
from keras_integrity_hook.api.opening import Location
from keras_integrity_hook.containers.kinds import Place
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.files import portable
from keras_integrity_hook.loading import at_hand
from keras_integrity_hook.policy import admission
from keras_integrity_hook.report import (
    InspectionInfo,
    Report,
    report_on,
    report_on_overridden,
)
from keras_integrity_hook.tracebacks import left_out
from keras_integrity_hook.verification import digests, pinning

if TYPE_CHECKING:
    from keras_integrity_hook.verification.differences import Comparison
else:  # for those who look annotations up at run time
    Comparison = object


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
    return [_verified(name, place) for place in (opening.place_of(name), *opening.others_of(name))]


def _verified(name: str, place: Place | None) -> Report:
    """Check the file ``name``, or what it is as the set at ``place``."""
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(settings.snapshot())
            memory = admission.memory_of(name, place)
            model = stack.enter_context(opening.opened_as(name, place))
            report = report_on(model)
            admitted = admission.admit(model, memory=memory)
            if memory is not None and memory.contradicted is not None:
                report = replaced(report, contradiction=memory.contradicted.cause)
            if isinstance(admitted.model, SealedModel):
                digests.check_content(admitted.model)
            if admitted.model is model:  # not pinned by a signature beside it
                report = as_sealed(report)
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
        with opening.opened_as(name, opening.place_of(name)) as model:
            try:
                inspection = _inspected(model)
            except IntegrityError as error:  # its seal and its parts are shown all the same
                inspection = InspectionInfo((), trouble=error.cause)
            report = replaced(report_on(model), parts=parts_of(model), inspection=inspection)
        if not digest:
            return report
        algorithm = "sha256" if report.seal is None else report.seal.algorithm
        with pinning.open_as_it_is(name, opening.place_of(name), algorithm) as found:
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
        places = (opening.place_of(name), *opening.others_of(name))
        reports = [_scanned(name, place) for place in places]
    inspections = [report.inspection for report in reports if report.inspection]
    # A directory can be two models, and neither hides the other.
    findings = dict.fromkeys(found for one in inspections for found in one.findings)
    read = sum(one.bytes_read for one in inspections)
    return replaced(reports[0], inspection=InspectionInfo(tuple(findings), read))


def _scanned(name: str, place: Place | None) -> Report:
    with opening.opened_as(name, place) as model:
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


def as_sealed(report: Report) -> Report:
    """``report``, when the content was compared with the seal, or the seal was made from it."""
    return report if report.seal is None else replaced(report, is_intact=True)
