# SPDX-License-Identifier: Apache-2.0
"""``verify``: files and trees of files against their seals."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from keras_integrity_hook import api
from keras_integrity_hook.cli import files
from keras_integrity_hook.cli.output import (
    Listing,
    Result,
    json_option,
    only_refused_option,
    quiet_option,
)
from keras_integrity_hook.cli.report_files import ReportFiles, junit_option, sarif_option
from keras_integrity_hook.errors import HistoryWarning, OverrideWarning

if TYPE_CHECKING:
    from keras_integrity_hook.report import Report
else:  # for those who look annotations up at run time
    Report = object


_CONTRADICTED = (
    "Find out why. If it is meant to be so, say that with 'keras-integrity history forget PATH'."
)


@click.command()
@files.paths_argument
@click.option(
    "--override",
    "root",
    metavar="DIGEST",
    help="Let the content of this digest pass, whatever is wrong with it; needs --reason.",
)
@click.option("--reason", metavar="TEXT", help="Why it is to pass; it is recorded.")
@only_refused_option
@quiet_option
@junit_option
@sarif_option
@json_option
def verify(  # noqa: PLR0913, PLR0917 - one argument for each option
    paths: tuple[str, ...],
    root: str | None,
    reason: str | None,
    only_refused: bool,
    quiet: bool,
    junit: str | None,
    sarif: str | None,
    as_json: bool,
) -> None:
    """Check files, or all models in directories, against their seals.

    Whatever a model of several files does not cover is looked at by itself.
    """
    if (root is None) is not (reason is None):
        raise click.UsageError("--override and --reason belong together")
    reports = ReportFiles("verify", junit, sarif, as_json)

    def check(path: str) -> Result:
        with _told_in_result(), _overriding(root, reason):
            return _result(path, api.verify(path), reason, paths)

    reports.check()
    files.run(
        "verify",
        paths,
        check,
        as_json=as_json,
        listing=Listing.of(quiet=quiet, only_refused=only_refused),
        then=reports.write,
    )


def _result(path: str, report: Report, reason: str | None, named: tuple[str, ...]) -> Result:
    if report.state == "overridden":
        return Result(path, report.state, report, note=f"By override: {reason}")
    if report.contradiction:
        note = f"This contradicts what was seen before: {report.contradiction}."
        return Result(path, report.state, report, note=note, advice=_CONTRADICTED)
    if report.signers:  # a detached signature needs no seal
        note = f"Signed by {', '.join(report.signers)}."
        return Result(path, report.state, report, note=note)
    advice = files.hint(report)
    # What 'seal' would pass over is not recommended to be sealed.
    note = files.reason_passed_over(path, named) if advice else ""
    return Result(path, report.state, report, note=note, advice="" if note else advice)


@contextmanager
def _told_in_result() -> Iterator[None]:
    """Leave out the warning of what the result says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HistoryWarning)
        yield


@contextmanager
def _overriding(root: str | None, reason: str | None) -> Iterator[None]:
    """Let the content ``root`` pass; what is otherwise warned of is said in the result."""
    if root is None or reason is None:
        yield
        return
    from keras_integrity_hook.loading.override import override

    with override(root=root, reason=reason), warnings.catch_warnings():
        warnings.simplefilter("ignore", OverrideWarning)
        yield
