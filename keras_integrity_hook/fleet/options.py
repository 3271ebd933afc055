# SPDX-License-Identifier: Apache-2.0
"""What an audit is to do with each model, wherever that is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verb(StrEnum):
    """What is done with a model."""

    SCAN = "scan"
    """It is verified and inspected; nothing is written."""
    SEAL = "seal"
    """One that has no seal gets one."""
    SIGN = "sign"
    """One whose content matches its seal is signed."""


@dataclass(frozen=True)
class Options:
    """The same for all models of a run; it is sent to every worker.

    Attributes:
        verb: what is done.
        policy: the text of a policy file, in force before those of the worker's user and machine;
            empty for none.
        run: the id of the run.
        key: what signs, as ``keras-integrity sign --key`` takes it; the worker has to have it.
        algorithm: of new seals; empty for that of the settings.
        inspect: whether models are inspected.
        storage: options for the stores, by scheme (``{"s3": {"anon": True}}``): what fsspec takes.
    """

    verb: Verb = Verb.SCAN
    policy: str = ""
    run: str = ""
    key: str = ""
    algorithm: str = ""
    inspect: bool = True
    storage: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
