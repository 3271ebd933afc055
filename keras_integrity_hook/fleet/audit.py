# SPDX-License-Identifier: Apache-2.0
"""An audit: every model at and below some locations, examined by many workers.

One thread searches and fills the queue, workers examine, this process writes. None of them holds
more than a bounded number of models, so memory is flat. A finding is on disk some seconds after
it was made; who kills the process and says ``resume`` has those models examined again that were on
their way, and no others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import settings
from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import (
    FleetResultsError,
    FleetWorkersError,
    IntegrityError,
    WorkerLostError,
)
from keras_integrity_hook.files import temporary
from keras_integrity_hook.fleet import results, search, workers
from keras_integrity_hook.fleet.drafts import Draft
from keras_integrity_hook.fleet.findings import Finding, Outcome
from keras_integrity_hook.fleet.options import Options, Verb
from keras_integrity_hook.fleet.results import Run, Writer
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.fleet.waiting import Waiting
from keras_integrity_hook.limits import MIB

if TYPE_CHECKING:
    from distributed import Client
else:  # for those who look annotations up at run time
    Client = object

_BATCH = 128  # models of one task, at most: a scheduler takes some milliseconds for each task
_BATCH_SIZE = 64 * MIB
_SECONDS_OF_A_TASK = 1.0  # what a killed worker loses, and others wait for at the end
_FORGOTTEN = 0.05  # of what models took before, with each that is examined
_SECONDS_UNWRITTEN = 1.0, 10.0  # at the beginning, and at most
_REFUSALS_COUNTED = 100  # codes; there are fewer
_COUNTED = ("size", "version", "bytes_read", "refusals")  # of what earlier starts have found
_NOTABLE = (Outcome.REFUSED, Outcome.FAILED)
_NOTABLE_HELD = 100


@dataclass
class Progress:
    """How far an audit has come.

    Attributes:
        found: models so far.
        is_complete: there are no more to be found.
        examined: findings so far, those of earlier starts of the run included.
        before: how many of them are of earlier starts.
        size: bytes that were read.
        begun: by the monotonic clock.
        outcomes: how many findings there are of each.
        codes: how many models there are with a refusal of each code.
        notable: the first of those that were refused or could not be examined.
    """

    found: int = 0
    is_complete: bool = False
    examined: int = 0
    before: int = 0
    size: int = 0
    begun: float = field(default_factory=time.monotonic)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    notable: list[Finding] = field(default_factory=list)

    @property
    def models(self) -> int:
        """How many models were examined; where nobody could look there may be none."""
        return self.examined - self.outcomes[Outcome.FAILED]

    @property
    def number_notable(self) -> int:
        """How many were refused or could not be examined."""
        return sum(self.outcomes[one] for one in _NOTABLE)

    @property
    def rate(self) -> float:
        """Models a second, of this start."""
        return (self.examined - self.before) / max(time.monotonic() - self.begun, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """An estimate; None while nobody can tell."""
        left = self.before + self.found - self.examined
        return left / self.rate if self.is_complete and self.rate else None

    def count(self, found: Finding) -> None:
        """One more finding."""
        self.examined += 1
        self.size += found.bytes_read
        self.outcomes[found.outcome] += 1
        if found.outcome in _NOTABLE and len(self.notable) < _NOTABLE_HELD:
            self.notable.append(found)
        for code in {refusal.code for refusal in found.refusals}:
            if code in self.codes or len(self.codes) < _REFUSALS_COUNTED:
                self.codes[code] += 1


def audit(  # noqa: PLR0913
    locations: Sequence[str],
    options: Options,
    directory: str,
    *,
    number: int | None = None,
    scheduler: str = "",
    resume: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[Run, Progress]:
    """Examine every model at and below ``locations``, and write what was found.

    Args:
        locations: paths and URLs, of models and of directories.
        options: what is done with each; the run is filled in here.
        directory: where the results of all runs are.
        number: how many models are examined at once by workers that are started here; None for
            the usual number.
        scheduler: the address of Dask's, whose workers are to do it instead.
        resume: go on with the last run there, if that had not come to its end.
        watch: called whenever more is known, some times a second.

    Raises:
        ConfigurationError: the policy has a mistake, or a package is not installed.
        FleetResultsError: the results cannot be written, or there is nothing to go on with.
        FleetWorkersError: there are no workers, or all of them were lost.
    """
    workers.require()
    _check(options)
    run = _resumed(directory, locations, options) if resume else None
    if run is None:
        digest = hashlib.sha256(options.policy.encode()).hexdigest() if options.policy else ""
        run = results.new_run(str(options.verb), locations, policy=digest, hook=__version__)
    options = _for_run(options, run)
    found_by = (
        workers.of_scheduler(scheduler)
        if scheduler
        else workers.started(number or workers.usual_number())
    )
    with Writer(directory, run) as writer, _queue() as waiting, found_by as client:
        progress = Progress()
        progress.before = waiting.pass_over(_known_of(directory, run, progress))
        to_change = options.verb is not Verb.SCAN
        found = search.find(locations, to_change=to_change)
        threading.Thread(target=waiting.fill, args=(found,), daemon=True).start()
        with workers.looked_after(client):
            _Examination(client, waiting, writer, options, progress, watch).go_on()
        if waiting.error is not None:
            raise waiting.error
        return writer.end(progress.examined), progress


def _check(options: Options) -> None:
    """Whether what is configured can be relied on: a million findings that it cannot be are none.

    Raises:
        ConfigurationError, InsecurePermissionsError: as :func:`settings.at`.
    """
    in_force = settings.under(options.policy, "the policy") if options.policy else None
    with in_force or contextlib.nullcontext():
        settings.at()


def _resumed(directory: str, locations: Sequence[str], options: Options) -> Run | None:
    """The last run, that was killed; None where there is none at all.

    Raises:
        FleetResultsError: the last one was about something else.
    """
    known = results.runs(directory) if os.path.isdir(directory) else []
    if not known or known[-1].ended is not None:
        return None
    last = known[-1]
    digest = hashlib.sha256(options.policy.encode()).hexdigest() if options.policy else ""
    if (last.verb, last.locations, last.policy) != (options.verb, tuple(locations), digest):
        cause = "the run that had not come to its end had other locations, or another policy"
        remedy = "Name the same again, or leave --resume out to begin anew."
        raise FleetResultsError(cause, path=results.folder_of(directory, last), remedy=remedy)
    return last


def _known_of(directory: str, run: Run, progress: Progress) -> Iterator[bytes]:
    """The keys of what earlier starts of the run have examined, each counted on the way."""
    for found in results.findings_of(directory, run, _COUNTED):
        progress.count(found)
        yield Target(found.location, found.size, found.version).key


def _for_run(options: Options, run: Run) -> Options:
    from dataclasses import replace

    return replace(options, run=run.run)


@contextlib.contextmanager
def _queue() -> Iterator[Waiting]:
    with temporary.private_folder() as folder:
        waiting = Waiting(os.path.join(folder, "waiting"))
        try:
            yield waiting
        finally:
            waiting.close()


class _Examination:
    """The models on their way to the workers and back."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        client: Client,
        waiting: Waiting,
        writer: Writer,
        options: Options,
        progress: Progress,
        watch: Callable[[Progress], None],
    ) -> None:
        self._client, self._waiting, self._writer = client, waiting, writer
        self._options, self._progress, self._watch = options, progress, watch
        self._number = max(1, workers.number_of(client))
        self._sent: dict[Any, tuple[Target, ...]] = {}
        self._suspects: list[Target] = []
        self._seconds_each = _SECONDS_OF_A_TASK / 16  # that a model takes, as far as is known
        self._flushed, self._patience = time.monotonic(), _SECONDS_UNWRITTEN[0]

    def go_on(self) -> None:
        """Until nothing waits and nothing is on its way; what was written stays if it fails."""
        from distributed import as_completed

        answers = as_completed(loop=self._client.loop, with_results=True, raise_errors=False)
        try:
            while True:
                self._send(answers)
                self._tell()
                if answers.count():
                    for future, answer in answers.next_batch(block=True):
                        self._receive(future, answer)
                elif self._waiting.is_complete and not self._waiting.length:
                    break
                else:
                    self._waiting.wait(0.2)
            for target in self._suspects:
                self._examine_alone(target)
        finally:
            self._writer.flush()

    def _send(self, answers: Any) -> None:
        while len(self._sent) < self._number * workers.TASKS_EACH:
            batch = tuple(self._waiting.take(self._number_of_a_task(), _BATCH_SIZE))
            if not batch:
                return
            future = self._submitted(batch)
            self._sent[future.key] = batch
            answers.add(future)

    def _number_of_a_task(self) -> int:
        """How many models make a task: what takes about a second, and fewer where few wait, since
        nobody is to be idle while another has a pile."""
        many = _SECONDS_OF_A_TASK / max(self._seconds_each, _SECONDS_OF_A_TASK / _BATCH)
        return max(1, min(int(many), self._waiting.length // (4 * self._number)))

    def _submitted(self, batch: tuple[Target, ...]) -> Any:
        return self._client.submit(examine_all, batch, self._options, pure=False)

    def _receive(self, future: Any, answer: Any) -> None:
        batch = self._sent.pop(future.key)
        future.release()
        # By the answer: what the future says is of another moment, when its worker may be lost.
        if isinstance(answer, list):
            self._take(answer)
        elif _is_lost(answer):
            self._suspects += batch  # one of them killed its worker
        else:
            raise _failure(answer)

    def _examine_alone(self, target: Target) -> None:
        """Whether it is the one that kills workers shows when nothing else is on its way."""
        future = self._submitted((target,))
        try:
            self._take(future.result())
        except Exception as error:
            if not _is_lost(error):
                raise _failure(error) from error
            draft = Draft(target, self._options.run)
            cause = "the worker that examined it died, several times"
            draft.refuse(WorkerLostError(cause, path=target.location))
            self._take((draft.finding(),))
        finally:
            future.release()
        self._tell()

    def _take(self, found: Sequence[Finding]) -> None:
        for one in found:
            self._progress.count(one)
            self._seconds_each += _FORGOTTEN * (one.seconds - self._seconds_each)
        self._writer.add(found)

    def _tell(self) -> None:
        self._progress.found = self._waiting.found
        self._progress.is_complete = self._waiting.is_complete
        now = time.monotonic()
        if now - self._flushed > self._patience:
            self._writer.flush()
            self._flushed = now
            self._patience = min(1.5 * self._patience, _SECONDS_UNWRITTEN[1])
        self._watch(self._progress)


def examine_all(batch: tuple[Target, ...], options: Options) -> list[Finding]:
    """What a worker does: a few models, one after the other."""
    from keras_integrity_hook.fleet import examine

    return examine.examine_each(batch, options)


def _is_lost(answer: Any) -> bool:
    from distributed import KilledWorker

    error = answer[1] if isinstance(answer, tuple) and len(answer) == 3 else answer
    return isinstance(error, KilledWorker)


def _failure(answer: Any) -> IntegrityError:
    error = answer[1] if isinstance(answer, tuple) and len(answer) == 3 else answer
    if isinstance(error, IntegrityError):
        return error
    return FleetWorkersError(f"the workers were lost ({type(error).__name__}: {error})")
