# SPDX-License-Identifier: Apache-2.0
"""Errors of an audit of many models as such; what is wrong with one of them is a finding."""

from __future__ import annotations

from keras_integrity_hook.errors.base import IntegrityError


class FleetResultsError(IntegrityError):
    """The directory of an audit's results cannot be read, written, or gone on with."""

    code = "fleet-results"
    default_remedy = (
        "Check the directory, its permissions and the space there; results are Parquet files that "
        "'keras-integrity fleet scan --out DIR' writes."
    )


class FleetWorkersError(IntegrityError):
    """The workers of an audit cannot be had: none starts, or the scheduler does not answer."""

    code = "fleet-workers"
    default_remedy = (
        "Check the address of the scheduler, and that its workers have the same versions of Python "
        "and of keras-integrity-hook[fleet]; without --scheduler workers are started here."
    )


class WorkerLostError(IntegrityError):
    """A worker died, again and again, while it examined this model."""

    code = "worker-lost"
    default_remedy = (
        "Examine it by itself with 'keras-integrity scan PATH', under a limit of memory; until "
        "somebody knows why, treat it as hostile."
    )


class ExaminationTimeoutError(IntegrityError):
    """A model took longer to be fetched than one may."""

    code = "examination-timeout"
    default_remedy = (
        "The store is slow, or the object has no end. Give it more time with --seconds, or look at "
        "it by itself."
    )
