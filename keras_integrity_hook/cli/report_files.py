# SPDX-License-Identifier: Apache-2.0
"""``--junit FILE`` and ``--sarif FILE``, for the commands that check models."""

from __future__ import annotations

from typing import NamedTuple

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.summary import Outcome
from keras_integrity_hook.errors import IntegrityError

junit_option = click.option(
    "--junit", metavar="FILE", help="Write the results as JUnit XML, for CI servers."
)
sarif_option = click.option("--sarif", metavar="FILE", help="Write what was found as SARIF 2.1.0.")


class ReportFiles(NamedTuple):
    """The reports that were asked for besides what is printed, each by its path.

    Making and checking them takes modules that are imported where one is asked for.
    """

    command: str
    junit: str | None
    sarif: str | None
    as_json: bool

    def check(self) -> None:
        """End the command before the work, rather than after it, where one cannot be written."""
        if not self._wanted:
            return
        from keras_integrity_hook.cli import ci_reports

        try:
            for form, path in self._wanted:
                ci_reports.check_target(form, path)
        except IntegrityError as error:
            output.misconfigured(self.command, error, as_json=self.as_json)

    def write(self, outcome: Outcome) -> None:
        """Write them, or end the command with the reason why one cannot be written."""
        if not self._wanted:
            return
        from keras_integrity_hook.cli import ci_reports

        try:
            for form, path in self._wanted:
                ci_reports.write(form, outcome, path)
        except IntegrityError as error:
            output.misconfigured(self.command, error, as_json=self.as_json)

    @property
    def _wanted(self) -> list[tuple[str, str]]:
        pairs = (("junit", self.junit), ("sarif", self.sarif))
        return [(form, path) for form, path in pairs if path]
