# SPDX-License-Identifier: Apache-2.0
"""What an audit is to do with each model, wherever that is done."""

from __future__ import annotations

from dataclasses import dataclass
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
        seconds: how long one model may take to be fetched.
    """

    verb: Verb = Verb.SCAN
    policy: str = ""
    run: str = ""
    key: str = ""
    algorithm: str = ""
    inspect: bool = True
    seconds: float = 3600.0
