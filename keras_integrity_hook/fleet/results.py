# SPDX-License-Identifier: Apache-2.0
"""The results of audits on disk: a directory of runs, each a directory of Parquet files.

    DIR/run-20261128T141500Z-9f3a/run.json              what was asked for, and what came of it
                                 /part-000000.parquet   findings, of the schema in fleet.findings
                                 /part-000001.parquet
                                 /writer.lock           locked by who writes there

Whatever is there under its name is whole: files are written beside it and renamed. A run that was
killed has no ``ended`` in its ``run.json``, and its parts are what it had found by then.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from keras_integrity_hook.errors import FleetResultsError
from keras_integrity_hook.files import atomic, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.files.reading import read_file
from keras_integrity_hook.fleet import findings
from keras_integrity_hook.fleet.findings import Finding
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from pyarrow import RecordBatch
else:  # for those who look annotations up at run time
    RecordBatch = object

SCHEMA = 1
_FACTS = "run.json"
_TURN = "writer.lock"
_RUN = re.compile(r"run-(\d{8}T\d{6}Z-[0-9a-f]{4,16})")
_ALWAYS = ("location", "state", "outcome", "examined")
_PART = re.compile(r"part-(\d{6,})\.parquet")


@dataclass(frozen=True)
class Run:
    """One run of an audit.

    Attributes:
        run: its id, which begins with the time when it began, so that runs sort by it.
        verb: ``"scan"``, ``"seal"`` or ``"sign"``.
        locations: what was named.
        begun: when, UTC.
        ended: when its last model was examined, UTC; None for one that goes on, or was killed.
        examined: how many findings it has, once it ended.
        policy: SHA-256 of the policy that was given to it, hex; empty where none was.
        hook: the version of this package.
    """

    run: str
    verb: str
    locations: tuple[str, ...]
    begun: datetime
    ended: datetime | None = None
    examined: int = 0
    policy: str = ""
    hook: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        times = {"begun": _spelled(self.begun), "ended": _spelled(self.ended)}
        return {"schema": SCHEMA, **asdict(self), "locations": list(self.locations), **times}


def new_run(verb: str, locations: Iterable[str], *, policy: str = "", hook: str = "") -> Run:
    """A run that begins now; nothing is written yet."""
    now = datetime.now(UTC)
    run = f"{now:%Y%m%dT%H%M%SZ}-{now.microsecond:05x}{os.urandom(2).hex()}"
    begun = now.replace(microsecond=0)
    return Run(run, verb, tuple(locations), begun, policy=policy, hook=hook)


def runs(directory: str) -> list[Run]:
    """The runs in ``directory``, the oldest first.

    Raises:
        FleetResultsError: it cannot be searched, or what a run says of itself cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(directory) if _RUN.fullmatch(name))
    except OSError as error:
        cause = f"the directory of results cannot be read ({error.strerror})"
        raise FleetResultsError(cause, path=directory) from error
    folders = [os.path.join(directory, name) for name in names]
    return [_read_run(folder) for folder in folders if os.path.lexists(_facts_of(folder))]


def folder_of(directory: str, run: Run) -> str:
    """Where the files of ``run`` lie."""
    return os.path.join(directory, f"run-{run.run}")


def parts(directory: str, run: Run) -> list[str]:
    """The paths of the Parquet files of ``run``, in the order in which they were written."""
    folder = folder_of(directory, run)
    numbered = [
        (int(found[1]), name) for name in os.listdir(folder) if (found := _PART.fullmatch(name))
    ]
    return [os.path.join(folder, name) for _, name in sorted(numbered)]


def batches(directory: str, run: Run, columns: list[str] | None = None) -> Iterator[RecordBatch]:
    """The rows of ``run``, some thousands at a time: memory does not grow with their number.

    Args:
        columns: the names of those that are wanted; None for all.

    Raises:
        FleetResultsError: a file of it cannot be read, or has other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in parts(directory, run):
        try:
            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(LIMITS.findings_read, columns=columns)
        except (OSError, pa.ArrowException) as error:
            cause = f"the results cannot be read ({error})"
            raise FleetResultsError(cause, path=path) from error


def findings_of(
    directory: str, run: Run, columns: Sequence[str] | None = None
) -> Iterator[Finding]:
    """The findings of ``run``; memory and raises as :func:`batches`.

    Args:
        columns: which are read beside those that every finding has; None for all.
    """
    wanted = None if columns is None else [*_ALWAYS, *columns]
    for batch in batches(directory, run, wanted):
        for row in batch.to_pylist():
            try:
                yield Finding.from_row(row)
            except (KeyError, TypeError, ValueError) as error:
                cause = f"a row of the results is none of an audit ({error!r})"
                raise FleetResultsError(cause, path=folder_of(directory, run)) from error


class Writer:
    """Writes the findings of one run; what was written stays when the process is killed.

    It is the only one that writes there, until it is closed or its process has ended: two that go
    on with one run would give their files the same names.
    """

    def __init__(self, directory: str, run: Run) -> None:
        """Begin ``run`` below ``directory``, or go on with it.

        Raises:
            FleetResultsError: the directory cannot be made or written, or another is at work there.
        """
        self.directory, self.run = directory, run
        self._folder = folder_of(directory, run)
        self._held: list[Finding] = []
        self.written = 0
        try:
            os.makedirs(self._folder, exist_ok=True)
            self._turn = _turn_in(self._folder)
        except OSError as error:
            cause = f"the directory of results cannot be made ({error.strerror})"
            raise FleetResultsError(cause, path=directory) from error
        try:
            existing = parts(directory, run)
            self._next = _number(existing[-1]) + 1 if existing else 0
            self._write_facts()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let others write there; what is held is not written. Calling it again does nothing."""
        turn, self._turn = self._turn, -1
        if turn >= 0:
            portable.close(turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def add(self, found: Iterable[Finding]) -> None:
        """Take more findings; they are written when there are enough, or by :meth:`flush`."""
        self._held += found
        if len(self._held) >= LIMITS.findings_held:
            self.flush()

    def flush(self) -> None:
        """Write what is held as a file of its own.

        Raises:
            FleetResultsError: it cannot be written.
        """
        if not self._held:
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(findings.table(self._held), sink, compression="zstd")
        path = os.path.join(self._folder, f"part-{self._next:06d}.parquet")
        _write(path, memoryview(sink.getvalue()))
        self._next += 1
        self.written += len(self._held)
        self._held = []

    def end(self, examined: int, *, at: datetime | None = None) -> Run:
        """Write what is held, and that the run has come to its end; the run as it is then."""
        self.flush()
        self.run = replace(self.run, ended=at or _now(), examined=examined)
        self._write_facts()
        return self.run

    def _write_facts(self) -> None:
        text = json.dumps(self.run.to_dict(), indent=2) + "\n"
        _write(_facts_of(self._folder), memoryview(text.encode("utf-8", "backslashreplace")))


def _turn_in(folder: str) -> int:
    """A descriptor that keeps every other writer out of ``folder`` for as long as it is open.

    Raises:
        FleetResultsError: another has it.
    """
    flags = os.O_RDWR | os.O_CREAT | portable.O_NOFOLLOW | portable.O_CLOEXEC
    fd = system.open(os.path.join(folder, _TURN), flags, 0o644)
    try:
        portable.lock(fd)
    except BlockingIOError:
        portable.close(fd)
        cause = "another audit is at work there"
        remedy = "Wait until it has ended; without --resume there is a run of its own."
        raise FleetResultsError(cause, path=folder, remedy=remedy) from None
    except OSError:
        pass  # no locks on this file system: whoever starts two there has to know
    return fd


def _write(path: str, data: memoryview) -> None:
    """Put ``data`` into the file ``path``, whole, and on the disk."""
    try:
        with atomic.open_target(path) as target, atomic.private_file(target) as private:
            fd = private.create(0o644)
            try:
                with open(fd, "wb", closefd=False) as file:
                    file.write(data)
                os.fsync(fd)
            finally:
                os.close(fd)
            private.put_in_place()
    except OSError as error:
        cause = f"the results cannot be written ({error.strerror or error})"
        raise FleetResultsError(cause, path=path) from error


def _number(part: str) -> int:
    return int(os.path.basename(part)[5:-8])


def _facts_of(folder: str) -> str:
    return os.path.join(folder, _FACTS)


def _read_run(folder: str) -> Run:
    path = _facts_of(folder)
    try:
        facts = json.loads(read_file(path, LIMITS.policy))
        known = {one.name: facts[one.name] for one in fields(Run)}
        known["begun"] = datetime.fromisoformat(known["begun"])
        ended = known["ended"]
        known["ended"] = None if ended is None else datetime.fromisoformat(ended)
        known["locations"] = tuple(map(str, known["locations"]))
        return Run(**known)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        cause = f"what a run says of itself is not well formed ({error!r})"
        raise FleetResultsError(cause, path=path) from error


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _spelled(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
