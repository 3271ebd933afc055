# SPDX-License-Identifier: Apache-2.0
"""The page: one file that asks nobody for anything, in which whatever a model says is text.

It has no script, no address that a browser would fetch, and a policy (CSP) that allows neither:
the style sheet alone, by its digest. Whatever a template shows is escaped, once as HTML and before
that as text: no character of a stranger's is invisible or turns the ones around it about.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from keras_integrity_hook import texts
from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import ConfigurationError, FleetResultsError
from keras_integrity_hook.fleet import results
from keras_integrity_hook.fleet.findings import Outcome, State
from keras_integrity_hook.fleet.html_report import advice, charts
from keras_integrity_hook.fleet.html_report.summary import Point, Summary, points, summary_of
from keras_integrity_hook.fleet.results import Run
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.texts import bytes_of, plural, printable

if TYPE_CHECKING:
    from jinja2 import Environment
else:  # for those who look annotations up at run time
    Environment = object

_FOLDER = Path(__file__).parent
_STATES = (State.SEALED, State.UNSEALED, State.DAMAGED, State.UNKNOWN)
_OUTCOMES = (Outcome.PASSED, Outcome.REVIEW, Outcome.REFUSED, Outcome.FAILED)
_MONTHS = 24


def page(directory: str, *, run: str = "", now: datetime | None = None) -> str:
    """The report on the audit in ``directory``.

    Args:
        directory: that of ``keras-integrity fleet scan --out``.
        run: the id of the run that is reported; by default the newest. Earlier ones are in the
            lines over time.
        now: what the ages of seals are measured by; by default the present.

    Raises:
        FleetResultsError: there are no results, or they cannot be read.
        ConfigurationError: a package that makes the page is not installed.
    """
    made = _environment()
    there = results.runs(directory)
    chosen = _chosen(directory, there, run)
    at = now or datetime.now(UTC)
    told = summary_of(directory, chosen, at)
    over_time = _over_time(directory, there, chosen, told)
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    return made.get_template("report.html").render(
        told=told,
        headline=headline(told),
        steps=advice.steps(told, directory),
        points=over_time,
        bars=_bars(told),
        months=_months(told),
        run=chosen,
        now=at,
        version=__version__,
        style=style,
        csp=_policy(style),
    )


def headline(told: Summary) -> str:
    """What it comes to, in one sentence."""
    models = plural(told.examined, "model")
    bad = told.outcome(Outcome.REFUSED)
    if bad:
        return f"{bad:,} of {models} would be refused"
    if failed := told.failed.count:
        locations = f"{plural(failed, 'location')} could not be examined"
        return f"Nothing would be refused, and {locations}" if told.examined else locations
    if unsealed := told.state(State.UNSEALED):
        return f"Nothing would be refused, and {unsealed:,} of {models} have no seal"
    return f"All {models} pass" if told.examined > 1 else f"{models} was examined"


def _chosen(directory: str, there: Sequence[Run], wanted: str) -> Run:
    found = [one for one in there if not wanted or one.run == wanted]
    if found:
        return found[-1]
    if there:
        known = ", ".join(one.run for one in there[-5:])
        raise FleetResultsError(
            f"there is no run '{wanted}'", path=directory, remedy=f"There are: {known}."
        )
    raise FleetResultsError("there are no results of an audit", path=directory)


def _over_time(
    directory: str, there: Sequence[Run], chosen: Run, told: Summary
) -> list[tuple[Point, dict[str, float]]]:
    """The last runs up to the one that is reported, with their shares in percent."""
    before = [one for one in there if one.run < chosen.run][1 - LIMITS.report_runs :]
    sealed, refused = told.state(State.SEALED), told.outcome(Outcome.REFUSED)
    last = Point(chosen, told.models, sealed, told.signed, refused)
    found = [one for one in (*points(directory, before), last) if one.models]
    return [(one, _percents(one)) for one in found]


def _percents(point: Point) -> dict[str, float]:
    counts = {"sealed": point.sealed, "signed": point.signed, "refused": point.refused}
    return {name: 100 * count / point.models for name, count in counts.items()}


def _bars(told: Summary) -> dict[str, list[tuple[str, int]]]:
    return {
        "state": [(str(one), told.state(one)) for one in _STATES],
        "outcome": [(str(one), told.outcome(one)) for one in _OUTCOMES],
    }


def _months(told: Summary) -> list[tuple[str, int]]:
    """The last two years by month, those without a seal among them; older ones together."""
    if not len(told.months):
        return []
    year, month = told.now.year, told.now.month
    names: list[str] = []
    for back in range(_MONTHS):
        number = year * 12 + month - 1 - back
        names.insert(0, f"{number // 12:04d}-{number % 12 + 1:02d}")
    counts = told.months.by_name()
    before = sum([count for name, count in counts.items() if name < names[0]])
    return [("before", before), *((name, counts.get(name, 0)) for name in names)]


def _policy(style: str) -> str:
    """What a browser may do with the page: use this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"style-src 'sha256-{digest}'; img-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _environment() -> Environment:
    try:
        import pyarrow.parquet  # noqa: F401 # by which the results are read
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise _missing(error) from None
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals.update(charts=charts, plural=plural)
    made.filters.update(
        age=age, bytes=bytes_of, count="{:,}".format, day=day, moment=moment, percent=percent
    )
    return made


def _missing(error: ImportError) -> ConfigurationError:
    return ConfigurationError(
        f"a package that the report needs is not installed ({error.name})",
        remedy=texts.extra("fleet", "jinja2", "pyarrow"),
    )


def _shown(value: object) -> object:
    """Text of others, printable; what is markup already (``__html__``) is shown as it is."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def moment(time: datetime) -> str:
    """``2026-11-28 05:41 UTC``."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(time: datetime) -> str:
    """``2026-11-28``."""
    return f"{time:%Y-%m-%d}"


def age(time: datetime, now: datetime) -> str:
    """How long ago, in the unit that people would use."""
    days = (now - time) // timedelta(days=1)
    if days < 0:
        return "in the future"
    if days < 1000:
        return f"{plural(days, 'day')} ago" if days else "today"
    return f"{plural(days // 365, 'year')} ago"


def percent(value: float) -> str:
    """Neither all nor none unless it is: 99.99 % of a million are not all of them."""
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %" if value % 1 else f"{value:.0f} %"
