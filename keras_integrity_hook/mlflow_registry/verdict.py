# SPDX-License-Identifier: Apache-2.0
"""What is found of the Keras models in a directory of artifacts, and how the registry says it.

Nothing here knows MLflow, and nothing needs Keras.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from keras_integrity_hook import api, settings
from keras_integrity_hook.errors import (
    IntegrityError,
    NotAModelError,
    UnreadableFileError,
    UnsealedModelError,
)
from keras_integrity_hook.fleet.discovery import Role, model_files
from keras_integrity_hook.report import Report

TAG = "keras_integrity."
"""What the names of our tags begin with. They are written by the registry and by nobody else."""

NAMES = ("state", "assurance", "signers", "root", "refused")
_LONGEST = 900  # characters of a value; MLflow's shortest limit for one is 1,000
_NOTHING = "no Keras model is among the artifacts, and a seal is required"


class Verdict(NamedTuple):
    """What is known of the models of one version.

    Attributes:
        reports: by path below the artifacts.
        errors: why models are refused, likewise.
    """

    reports: dict[str, Report]
    errors: dict[str, IntegrityError]

    @property
    def cause(self) -> str | None:
        """Why the version fails, one sentence without a final stop, or None."""
        for path, error in self.errors.items():
            return f"{path}: {error.cause}" if path != "." else error.cause
        return None

    def tags(self) -> dict[str, str]:
        """The tags of the version: all of :data:`NAMES` that have something to say."""
        found = {
            "state": self._state(),
            "assurance": self._all(lambda report: report.assurance),
            "signers": self._all(lambda report: ", ".join(report.signers)),
            "root": self._all(_root),
            "refused": self.cause or "",
        }
        return {TAG + name: _bounded(text) for name, text in found.items() if text}

    def _state(self) -> str:
        if self.errors:
            return "refused"
        states = {report.state for report in self.reports.values()}
        return ", ".join(sorted(states)) or "no Keras model"

    def _all(self, said: Callable[[Report], str]) -> str:
        """One word where all models say the same, or each with its path."""
        words = {path: said(report) for path, report in self.reports.items()}
        if len(set(words.values())) == 1:
            return next(iter(words.values()))
        return "; ".join(f"{path} {word}" for path, word in words.items() if word)


def judge(directory: str) -> Verdict:
    """Check every Keras model in and below ``directory`` against its seal and the policy.

    Where there is none, and a seal is required, that is a refusal too: an alias must not lead to
    what nobody can vouch for.
    """
    verdict = Verdict({}, {})
    for path, error in _models(directory):
        name = os.path.relpath(path, directory)
        try:
            if error is not None:
                raise error
            verdict.reports[name] = api.verify(path)
        except IntegrityError as refused:
            verdict.errors[name] = refused
    nothing = not verdict.reports and not verdict.errors
    if nothing and any(demands.needs_seal for demands in settings.at_each_name(directory)):
        verdict.errors["."] = UnsealedModelError(_NOTHING, path=directory)
    return verdict


def _models(directory: str) -> Iterator[tuple[str, IntegrityError | None]]:
    for found in model_files([directory]):
        error = found.error
        if found.role is Role.LINKED_DIRECTORY:
            error = UnreadableFileError("a link to a directory is not looked into", path=found.path)
        if isinstance(error, NotAModelError) and found.path == directory:
            return  # no model at all
        yield found.path, error


def _root(report: Report) -> str:
    return f"{report.seal.algorithm}:{report.seal.root}" if report.seal is not None else ""


def _bounded(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."
