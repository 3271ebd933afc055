# SPDX-License-Identifier: Apache-2.0
"""``scan``: what models would do when they are loaded, without loading any."""

from __future__ import annotations

import click

from keras_integrity_hook import api, settings
from keras_integrity_hook.cli import files, output
from keras_integrity_hook.cli.output import (
    Listing,
    Result,
    json_option,
    only_refused_option,
    quiet_option,
)
from keras_integrity_hook.cli.report_files import ReportFiles, junit_option, sarif_option
from keras_integrity_hook.errors import DangerousModelError
from keras_integrity_hook.inspection import judging
from keras_integrity_hook.inspection.findings import Finding, Verdict, worst_first
from keras_integrity_hook.report import InspectionInfo, Report
from keras_integrity_hook.settings import Inspecting
from keras_integrity_hook.texts import plural

_SHOWN = 8  # findings of one model, the worst first
_REFUSED = (
    "Do not load it: ask whoever made it what this is for. 'keras-integrity rules' explains each "
    "rule."
)
_UNREAD = (
    "Refused because nothing passes unread here: ask whoever made it what this is for. "
    "'keras-integrity rules' explains each rule."
)
_NAMED = (
    "Refused because nothing passes unread here. Name what you have read and trust in the setting "
    "allowed_objects; 'keras-integrity rules' explains each rule."
)
_REVIEW = (
    "Not refused, but somebody should know it before it is loaded. With --strict it is refused; "
    "'keras-integrity rules' explains each rule."
)


@click.command()
@files.paths_argument
@click.option(
    "--strict", is_flag=True, help="Refuse also what somebody should look at before it is loaded."
)
@only_refused_option
@quiet_option
@junit_option
@sarif_option
@json_option
def scan(  # noqa: PLR0913, PLR0917 - one argument for each option
    paths: tuple[str, ...],
    strict: bool,
    only_refused: bool,
    quiet: bool,
    junit: str | None,
    sarif: str | None,
    as_json: bool,
) -> None:
    """Tell what files, or all models in directories, would do when they are loaded.

    Nothing is loaded: configurations, graphs and headers are compared with what Keras itself makes
    models of. A model is fine; or to be reviewed, because it carries code or reads other files; or
    refused, because only an attack does this. Models without a seal are scanned, too. Whether a
    seal matches is for verify to tell.
    """
    reports = ReportFiles("scan", junit, sarif, as_json)
    reports.check()
    files.run(
        "scan",
        paths,
        lambda path: _result(path, api.scan(path), strict=strict),
        as_json=as_json,
        show=_show,
        listing=Listing.of(quiet=quiet, only_refused=only_refused),
        then=reports.write,
    )


def _result(path: str, report: Report, *, strict: bool) -> Result:
    assert report.inspection is not None
    state, findings = str(report.inspection.verdict), report.inspection.findings
    strict = strict or settings.at(path).inspection is Inspecting.STRICT
    stops = (Verdict.REFUSE, Verdict.REVIEW) if strict else (Verdict.REFUSE,)
    bad = tuple(one for one in findings if one.verdict in stops)
    told = " ".join(f"{_sentence(one)}." for one in worst_first(findings))
    if not bad:
        return Result(path, state, report, note=told)
    cause = judging.refusal(bad, path).cause
    by_name = _NAMED if all(one.object for one in bad) else _UNREAD
    remedy = _REFUSED if report.inspection.verdict is Verdict.REFUSE else by_name
    evidence = tuple(one.to_dict() for one in bad)
    error = DangerousModelError(cause, path=path, findings=evidence, remedy=remedy)
    return Result(path, state, report, error=error, note=told)


def _show(result: Result) -> None:
    if result.report is None or result.report.inspection is None:
        output.show(result)  # it could not be inspected
        return
    output.state(result.state, result.path, good=result.ok)
    show_findings(result.report.inspection)
    if result.error is not None:
        output.say_once(result, result.error.remedy())
    elif result.report.inspection.findings:
        output.say_once(result, _REVIEW)


def show_findings(inspection: InspectionInfo) -> None:
    """Print each finding, the worst first, or how many more there are."""
    findings = worst_first(inspection.findings)
    for one in findings[:_SHOWN]:
        mark = "" if one.verdict is inspection.verdict else f"{one.verdict}: "
        output.detail(f"{mark}{_sentence(one)}.", indent=2)
    if len(findings) > _SHOWN:
        output.detail(f"and {plural(len(findings) - _SHOWN, 'more finding')} (--json lists all)")


def _sentence(finding: Finding) -> str:
    return f"{finding.rule}: {finding.sentence()}"
