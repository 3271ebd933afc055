# SPDX-License-Identifier: Apache-2.0
"""From the findings of an audit to what a page says of them, in one pass and in bounded memory.

Columns are counted by Arrow; rows of Python are made of those models alone that a person should
look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from keras_integrity_hook.errors import FleetResultsError
from keras_integrity_hook.fleet import results
from keras_integrity_hook.fleet.findings import Outcome, State
from keras_integrity_hook.fleet.html_report.counts import Shortlist, Tally
from keras_integrity_hook.fleet.results import Run
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from pyarrow import Array, RecordBatch
else:  # for those who look annotations up at run time
    Array = RecordBatch = object

EXPIRES_SOON = timedelta(days=30)

_WORDS = ("state", "outcome", "container", "assurance", "algorithm", "inspection")
_TRENDS = ("state", "outcome", "assurance")
_COLUMNS = (
    *("location", "size", "bytes_read", "seconds", "signers", "sealed_at", "expires"),
    *("model", "model_version", "is_registered", "refusals", "observations", "damaged_parts"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_OF_A_DAY = 86_400_000_000
_SIGNED = "signed"


class Point(NamedTuple):
    """One run, for the lines over time: when it was, and how many models were how."""

    run: Run
    models: int
    sealed: int
    signed: int
    refused: int


class Row(NamedTuple):
    """A model that a person should look at.

    Attributes:
        location: where it is.
        why: codes of the refusals, or rules of the inspection; the gravest first.
        cause: of the first of them, a sentence.
        parts: what of it is damaged.
        name: name and version that its seal gives it; empty where it gives none.
        sealed_at: when it was sealed; None where nobody knows.
        expires: when its seal ends.
    """

    location: str
    why: tuple[str, ...] = ()
    cause: str = ""
    parts: tuple[str, ...] = ()
    name: str = ""
    sealed_at: datetime | None = None
    expires: datetime | None = None


class Reason(NamedTuple):
    """What stands beside a reason for refusals: that of the first model which had it."""

    cause: str
    remedy: str
    location: str


@dataclass
class Summary:
    """What is known of a run, whatever number of models it had.

    Attributes:
        run: the run.
        now: what "expired" is measured by.
        models: how many findings there are.
        size: bytes that are stored of them.
        bytes_read: from the stores.
        seconds: of work, summed over all workers.
        words: a tally for each column that holds a word.
        signers: models by the names of those who signed.
        unsigned: sealed models that nobody has signed whom the audit trusted.
        unregistered: models that the registry does not know.
        reasons: models by the code of a refusal; not those that could not be examined.
        troubles: models that could not be examined, by the code of the reason.
        first: an example for each code.
        rules: models by the rules of the inspection that found something.
        months: seals by the month that they are from, ``"2026-11"``.
        expired: seals that ended before :attr:`now`.
        expiring: seals that end soon after it.
        damaged, dangerous, refused, failed, unsealed: models of that kind.
        oldest: sealed models, the oldest seal first.
    """

    run: Run
    now: datetime
    models: int = 0
    size: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    words: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in _WORDS})
    signers: Tally = field(default_factory=Tally)
    unsigned: int = 0
    unregistered: int = 0
    reasons: Tally = field(default_factory=Tally)
    troubles: Tally = field(default_factory=Tally)
    first: dict[str, Reason] = field(default_factory=dict)
    rules: Tally = field(default_factory=Tally)
    months: Tally = field(default_factory=Tally)
    expired: int = 0
    expiring: int = 0
    damaged: Shortlist[Row] = field(default_factory=Shortlist)
    dangerous: Shortlist[Row] = field(default_factory=Shortlist)
    refused: Shortlist[Row] = field(default_factory=Shortlist)
    failed: Shortlist[Row] = field(default_factory=Shortlist)
    unsealed: Shortlist[Row] = field(default_factory=Shortlist)
    oldest: Shortlist[Row] = field(default_factory=lambda: Shortlist(lambda row: row.sealed_at))

    def state(self, state: State) -> int:
        return self.words["state"][state]

    def outcome(self, outcome: Outcome) -> int:
        return self.words["outcome"][outcome]

    @property
    def examined(self) -> int:
        """Models that somebody could look at."""
        return self.models - self.outcome(Outcome.FAILED)

    @property
    def signed(self) -> int:
        """Models that somebody has signed whom the audit trusted."""
        return self.words["assurance"][_SIGNED]


def summary_of(directory: str, run: Run, now: datetime) -> Summary:
    """What ``run`` came to.

    Raises:
        FleetResultsError: its files cannot be read, or are none of an audit.
    """
    told = Summary(run, now)
    for batch in _batches(directory, run, [*_COLUMNS, *_WORDS]):
        _add(told, batch)
    return told


def points(directory: str, runs: Iterable[Run]) -> Iterator[Point]:
    """One for each run; raises as :func:`summary_of`."""
    for run in runs:
        words = {name: Tally() for name in _TRENDS}
        models = 0
        for batch in _batches(directory, run, list(_TRENDS)):
            models += batch.num_rows
            _count_words(words, batch)
        sealed, signed = words["state"][State.SEALED], words["assurance"][_SIGNED]
        yield Point(run, models, sealed, signed, words["outcome"][Outcome.REFUSED])


def _batches(directory: str, run: Run, columns: list[str]) -> Iterator[RecordBatch]:
    """The rows of a run; every value that is wanted is there, and of the type that it should be."""
    import pyarrow as pa

    from keras_integrity_hook.fleet.findings import schema

    wanted = pa.schema([schema().field(name) for name in columns])
    try:
        for batch in results.batches(directory, run, columns):
            yield batch.select(columns).cast(wanted)
    except (KeyError, ValueError, pa.ArrowException) as error:
        folder = results.folder_of(directory, run)
        raise FleetResultsError(
            f"the results are none of an audit ({error})", path=folder
        ) from error


def _count_words(words: dict[str, Tally], batch: RecordBatch) -> None:
    for name, tally in words.items():
        for word, count in _counted(batch.column(name).dictionary_decode()):
            tally.add(word, count)


def _counted(values: Array) -> Iterator[tuple[Any, int]]:
    """The different values of a column, and how often each is there."""
    for one in values.drop_null().value_counts():
        yield one["values"].as_py(), one["counts"].as_py()


def _add(told: Summary, batch: RecordBatch) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    told.models += batch.num_rows
    _count_words(told.words, batch)
    for name in ("size", "bytes_read", "seconds"):
        setattr(told, name, getattr(told, name) + (pc.sum(batch.column(name)).as_py() or 0))
    for signer, count in _counted(batch.column("signers").flatten()):
        told.signers.add(signer, count)
    told.unregistered += pc.sum(pc.invert(batch.column("is_registered"))).as_py() or 0
    expires = batch.column("expires").cast(pa.int64())
    now, soon = _stamp(told.now), _stamp(told.now + EXPIRES_SOON)
    told.expired += _how_many(pc.less(expires, now))
    told.expiring += _how_many(pc.and_(pc.greater_equal(expires, now), pc.less(expires, soon)))
    days = pc.divide(batch.column("sealed_at").cast(pa.int64()), _MICROSECONDS_OF_A_DAY)
    for day, count in _counted(days):
        told.months.add(_month(day), count)
    _add_oldest(told, batch)
    _add_notable(told, batch)


def _add_oldest(told: Summary, batch: RecordBatch) -> None:
    import pyarrow.compute as pc

    first = pc.select_k_unstable(batch, LIMITS.report_rows, [("sealed_at", "ascending")])
    for row in _rows(batch.take(first)):
        if row["sealed_at"] is not None:
            told.oldest.add(_row_of(row))


def _add_notable(told: Summary, batch: RecordBatch) -> None:
    """The models that a person should look at: in one list each, and those without a seal also in
    theirs."""
    import pyarrow.compute as pc

    def where(column: str, word: str) -> Array:
        return pc.equal(batch.column(column).dictionary_decode(), word)

    failed, refused = where("outcome", Outcome.FAILED), where("outcome", Outcome.REFUSED)
    told.unsigned += _how_many(
        pc.and_not(where("state", State.SEALED), where("assurance", _SIGNED))
    )
    _count_codes(told.troubles, batch.filter(failed), told.first)
    _count_codes(told.reasons, batch.filter(refused), told.first)
    _count_rules(told.rules, batch)
    left = pc.true_unless_null(pc.invert(failed))
    told.failed.extend(*_listed(batch, failed))
    for shortlist, is_such in (
        (told.damaged, where("state", State.DAMAGED)),
        (told.dangerous, where("inspection", "refuse")),
        (told.refused, refused),
    ):
        shortlist.extend(*_listed(batch, pc.and_(left, is_such)))
        left = pc.and_not(left, is_such)
    told.unsealed.extend(*_listed(batch, where("state", State.UNSEALED)))


def _listed(batch: RecordBatch, are: Array) -> tuple[int, list[Row]]:
    """How many rows are such, and the first of them, as many as any list keeps."""
    found = batch.filter(are)
    return found.num_rows, [_row_of(row) for row in _rows(found.slice(0, LIMITS.report_rows))]


def _count_codes(tally: Tally, batch: RecordBatch, first: dict[str, Reason]) -> None:
    """Count models by the codes of their refusals; a code that is new gets an example."""
    import pyarrow.compute as pc

    refusals = batch.column("refusals")
    every, owners = refusals.flatten(), pc.list_parent_indices(refusals)
    codes = pc.struct_field(every, "code")
    for code, count in _models_by(owners, codes):
        if tally.add(code, count):
            at = pc.index(codes, code).as_py()
            said, location = every[at].as_py(), batch.column("location")[owners[at].as_py()]
            first[code] = Reason(said["cause"], said["remedy"], location.as_py())


def _count_rules(tally: Tally, batch: RecordBatch) -> None:
    """Count models by the rules that found something which is not fine."""
    import pyarrow.compute as pc

    observations = batch.column("observations")
    every, owners = observations.flatten(), pc.list_parent_indices(observations)
    notable = pc.not_equal(pc.struct_field(every, "verdict"), "fine")
    rules = pc.struct_field(every, "rule").filter(notable)
    for rule, count in _models_by(owners.filter(notable), rules):
        tally.add(rule, count)


def _models_by(owners: Array, names: Array) -> Iterator[tuple[str, int]]:
    """The different ``names``, and how many models have each, however often."""
    import pyarrow as pa

    pairs = pa.table({"owner": owners, "name": names}).group_by(["owner", "name"]).aggregate([])
    return _counted(pairs.column("name").combine_chunks())


def _row_of(row: dict[str, Any]) -> Row:
    refusals, observations = row["refusals"] or [], row["observations"] or []
    why = [one["code"] for one in refusals] or [one["rule"] for one in observations]
    causes = [one["cause"] for one in refusals] or [one["sentence"] for one in observations]
    return Row(
        location=row["location"],
        why=tuple(dict.fromkeys(why)),
        cause=causes[0] if causes else "",
        parts=tuple(row["damaged_parts"] or ()),
        name=" ".join(filter(None, (row["model"], row["model_version"]))),
        sealed_at=_time(row["sealed_at"]),
        expires=_time(row["expires"]),
    )


def _rows(batch: RecordBatch) -> list[dict[str, Any]]:
    """Rows of Python, in which times are the numbers that they are stored as: those are never out
    of range."""
    import pyarrow as pa

    for name in ("sealed_at", "expires"):
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, name, batch.column(at).cast(pa.int64()))
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def _how_many(are: Array) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(are).as_py() or 0)


def _stamp(time: datetime) -> int:
    """``time`` as Arrow stores it."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def _time(stamp: int | None) -> datetime | None:
    """The reverse; None for what no calendar has, which no seal states."""
    try:
        return None if stamp is None else _EPOCH + timedelta(microseconds=stamp)
    except OverflowError:
        return None


def _month(day: int) -> str:
    time = _time(day * _MICROSECONDS_OF_A_DAY)
    return "unknown" if time is None else f"{time:%Y-%m}"
