# SPDX-License-Identifier: Apache-2.0
"""Vet a model: look into it, load it in a sandbox, ask it there, and say what came of that.

The bytes are copied once, into memory that nobody can change. What is inspected, what is tried and
what the digest of the verdict is of are these. No policy decides whether a model may be vetted:
that is for who loads it afterwards.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from keras_integrity_hook import audit, settings
from keras_integrity_hook._version import __version__
from keras_integrity_hook.containers import formats, hdf5, recognition
from keras_integrity_hook.containers.file_set import Part
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    IntegrityError,
    SandboxedModelError,
    SandboxLimitError,
    SandboxViolationError,
)
from keras_integrity_hook.inspection import hdf5_file, inspecting, judging
from keras_integrity_hook.inspection.findings import Finding, Verdict, worst
from keras_integrity_hook.isolation import hosts, made_up, model_bytes
from keras_integrity_hook.isolation.answers import Answer
from keras_integrity_hook.isolation.attempts import Attempt
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.saving import settled
from keras_integrity_hook.sealing import statement
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.verification import pinning


class Outcome(StrEnum):
    """What came of vetting a model."""

    PASSED = "passed"
    """Nothing was found, it could be loaded and asked, and it tried nothing that is forbidden."""
    REVIEW = "review"
    """It carries code, reads files, or could not be tried: a person has to look at it."""
    REFUSED = "refused"
    """It does what only an attack does, or tried what is forbidden, or took more than it may."""


_ORDER = (Outcome.PASSED, Outcome.REVIEW, Outcome.REFUSED)


@dataclass(frozen=True, slots=True)
class Vetting:
    """What came of vetting one model.

    Attributes:
        path: as the user named it.
        digest: of the content that was vetted, ``"<algorithm>:<hex>"``.
        outcome: the worst of all reasons.
        reasons: sentences without a final stop; empty where it passed.
        steps: what was done with it and went well: ``"inspected"``, ``"loaded"``, ``"asked with
            zeros"``, ``"asked with random values"``.
        findings: of the inspection, with the verdicts that the settings give them.
        attempts: what it tried in the sandbox and was refused.
        versions: of what vetted it: this package, Keras and its backend.
        at: when, RFC 3339.
        printed: the end of what the model and its libraries printed; escaped.
    """

    path: str
    digest: str
    outcome: Outcome
    reasons: tuple[str, ...]
    steps: tuple[str, ...]
    findings: tuple[Finding, ...]
    attempts: tuple[Attempt, ...]
    versions: dict[str, str]
    at: str
    printed: str = ""

    @property
    def passed(self) -> bool:
        """Whether a policy may rely on it."""
        return self.outcome is Outcome.PASSED

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "digest": self.digest,
            "outcome": str(self.outcome),
            "reasons": list(self.reasons),
            "steps": list(self.steps),
            "findings": [one.to_dict() for one in self.findings],
            "attempts": [one.to_dict() for one in self.attempts],
            "versions": self.versions,
            "at": self.at,
            "printed": self.printed,
        }


def vet(path: str, *, limits: SandboxLimits | None = None, host: str | None = None) -> Vetting:
    """Vet the model at ``path``; whatever it does, it does in a sandbox.

    Args:
        path: a file, a directory, or what names a model of several files.
        limits: how much it may take in the sandbox.
        host: the package that loads it there: ``"keras"``, ``"tf_keras"`` or ``"tensorflow"``; by
            default the last for a SavedModel and Keras for everything else.

    Raises:
        SandboxUnavailableError: no process can be confined here; the model was not tried.
        UnreadableFileError, NotAModelError, DamagedFileError, ChecksumMismatchError,
        MalformedSealError, LimitExceededError: there is no content to speak of, or it does not
            match its seal.
        ConfigurationError: a setting has a mistake.
    """
    with contextlib.ExitStack() as undo:
        model = _opened(path)
        undo.callback(model.close)
        files = model_bytes.copied(model)
        undo.callback(files.close)
        held = _held(model, files)
        case = _Case(path, _digest(held))
        case.inspect(held)
        loader = host or hosts.host_of(held.container)
        if not _has_model(held):
            case.steps.append("not loaded: weights alone run no code")
        elif loader:
            case.try_out(files, loader, limits)
        else:
            case.leave_untried()
    found = case.vetting()
    facts = {"outcome": str(found.outcome), "root": found.digest.partition(":")[2]}
    audit.record("vet", path, **facts)
    return found


class _Case:
    """The model that is being vetted, and what is known of it so far."""

    def __init__(self, path: str, digest: str) -> None:
        self.steps: list[str] = []
        self._path = path
        self._digest = digest
        self._at = statement.spelled(datetime.now(UTC))
        self._reasons: list[tuple[Outcome, str]] = []
        self._findings: tuple[Finding, ...] = ()
        self._attempts: tuple[Attempt, ...] = ()
        self._versions = {"keras-integrity-hook": __version__}
        self._printed = ""

    def inspect(self, model: ModelFile) -> None:
        """Look into the bytes; what is allowed by name or by rule is allowed here, too."""
        findings = inspecting.inspect(model).findings
        self._findings = judging.as_set(findings, settings.at(self._path))
        self.steps.append("inspected")
        verdict = worst(self._findings)
        if verdict is Verdict.FINE:
            return
        told = tuple(one for one in self._findings if one.verdict is not Verdict.FINE)
        outcome = Outcome.REFUSED if verdict is Verdict.REFUSE else Outcome.REVIEW
        self._add(outcome, judging.in_short(told))

    def try_out(self, files: ModelFiles, host: str, limits: SandboxLimits | None) -> None:
        """Load and ask it in a sandbox. Raises SandboxUnavailableError."""
        process = ConfinedProcess(limits, host=host)
        try:
            process.path = self._path
            process.is_strict = False
            process.wait_until_ready()
            with self._noting():
                options = {} if host == "tensorflow" else {"safe_mode": False}
                loaded = process.load(files, options)
                self.steps.append("loaded")
                self._ask(process, loaded)
            self._attempts = tuple(process.attempts)
            self._versions |= process.versions
            self._printed = process.printed
        finally:
            process.close()
        if self._attempts:
            self._add(Outcome.REFUSED, "its code tried what the sandbox forbids")

    def leave_untried(self) -> None:
        """Nothing loads it there: somebody has to look at it."""
        self.steps.append("not loaded")
        self._add(Outcome.REVIEW, "no package loads such a model by itself, as a sandbox would")

    def vetting(self) -> Vetting:
        """All that is known now."""
        outcome = max((one for one, _ in self._reasons), key=_ORDER.index, default=Outcome.PASSED)
        return Vetting(
            self._path,
            self._digest,
            outcome,
            tuple(text for _, text in self._reasons),
            tuple(self.steps),
            self._findings,
            self._attempts,
            self._versions,
            self._at,
            self._printed,
        )

    def _ask(self, process: ConfinedProcess, loaded: Answer) -> None:
        for values in (made_up.ZEROS, made_up.RANDOM):
            made_up.ask(process, loaded, values)
            self.steps.append(f"asked with {values}")

    def _add(self, outcome: Outcome, reason: str) -> None:
        self._reasons.append((outcome, reason))

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Make a reason of what a model does wrong in the sandbox."""
        try:
            yield
        except SandboxViolationError:
            pass  # what was tried is said once, in the end
        except SandboxLimitError as error:
            self._add(Outcome.REFUSED, error.cause)
        except SandboxedModelError as error:
            doing = "asked" if "loaded" in self.steps else "loaded"
            self._add(Outcome.REVIEW, f"it could not be {doing} in the sandbox: {error.cause}")


def _opened(path: str) -> ModelFile:
    place = recognition.recognise(path)
    if place is None:
        return settled.open_settled(path)
    return open_set(path, place, hold=True)


def _held(model: ModelFile, files: ModelFiles) -> ModelFile:
    """``model`` with the bytes that were copied for its content: large files of a set, too, which
    their owner could write to until then."""
    if model.files is not None:
        parts = [
            Part(part.name, _copy(files.files[f"{files.name}/{part.name}"]))
            for part in model.files.parts
        ]
        found = replace(model.files, directory=-1, parts=parts)
        return replace(model, files=found, content=found.content)
    return replace(model, content=_copy(files.files[files.name]))


def _copy(fd: int) -> FileContent:
    return FileContent(fd, 0, os.fstat(fd).st_size)


def _digest(held: ModelFile) -> str:
    """Of the content; where there is a seal, the copy was checked against it."""
    return pinning.content_digest(held.seal or pinning.computed_seal(held))


def _has_model(held: ModelFile) -> bool:
    """Whether there is more than weights."""
    if held.container in formats.OF_WEIGHTS:
        return False
    if held.container != hdf5.CONTAINER:  # which holds the one or the other
        return True
    try:
        return hdf5_file.Hdf5File(held.content).attribute("", "model_config") is not None
    except IntegrityError:
        return True  # Keras will say so
