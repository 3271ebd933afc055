# SPDX-License-Identifier: Apache-2.0
"""The models that wait to be examined, on disk: memory does not grow with their number.

Each is taken once in a run, however many of the locations that were named lead to it, and not at
all where the run had examined it before it was killed. The file goes with the process: what lasts
are the results.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Iterable, Iterator
from itertools import islice

from keras_integrity_hook.errors import FleetResultsError
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS

_ADDED_AT_ONCE = 1_000


class Waiting:
    """A queue of targets; one thread may fill it while others take.

    Attributes:
        found: how many were put in, ever.
        is_complete: nothing will be added any more.
        error: what ended the search, if that failed.
    """

    def __init__(self, path: str) -> None:
        """In the new file ``path``, which only this user can read: what is in it is unpickled.

        Raises:
            FleetResultsError: there is no room for it; so does whatever writes to it.
        """
        import sqlite3

        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        with _told():
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # It is lost with the process in any case.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute("CREATE TABLE known (key BLOB PRIMARY KEY) WITHOUT ROWID")
            self._database.execute("CREATE TABLE waiting (id INTEGER PRIMARY KEY, target BLOB)")
        self._taken = 0
        self.found = 0
        self.is_complete = False
        self.error: Exception | None = None

    @property
    def length(self) -> int:
        """How many wait."""
        return self.found - self._taken

    def pass_over(self, keys: Iterable[bytes]) -> int:
        """Never take the targets of these keys; how many they are."""
        rest, count = iter(keys), 0
        while some := [(key,) for key in islice(rest, LIMITS.findings_read)]:
            count += len(some)
            with self._lock, _told(), self._database:
                self._database.executemany("INSERT OR IGNORE INTO known VALUES (?)", some)
        return count

    def fill(self, targets: Iterable[Target]) -> None:
        """Put in all of ``targets`` that are new; for a thread of its own."""
        try:
            rest = iter(targets)
            # The first at once, so that somebody begins; then more at a time.
            size = 1
            while some := list(islice(rest, size)):
                self._add(some)
                size = min(2 * size, _ADDED_AT_ONCE)
        except Exception as error:  # told by whoever takes
            self.error = error
        finally:
            with self._filled:
                self.is_complete = True
                self._filled.notify_all()

    def _add(self, targets: list[Target]) -> None:
        with self._filled, _told():
            self._database.execute("BEGIN")
            for target in targets:
                known = self._database.execute(
                    "INSERT OR IGNORE INTO known VALUES (?)", (target.key,)
                )
                if known.rowcount:
                    row = (pickle.dumps(target, pickle.HIGHEST_PROTOCOL),)
                    self._database.execute("INSERT INTO waiting (target) VALUES (?)", row)
                    self.found += 1
            self._database.execute("COMMIT")
            self._filled.notify_all()

    def take(self, number: int, size: int) -> list[Target]:
        """At most ``number`` targets, of ``size`` bytes together; one at least if any waits."""
        taken: list[Target] = []
        with self._lock, _told():
            rows = self._database.execute(
                "SELECT id, target FROM waiting ORDER BY id LIMIT ?", (number,)
            ).fetchall()
            for row, data in rows:
                target = pickle.loads(data)  # our own, see __init__
                size -= target.size
                if taken and size < 0:
                    break
                taken.append(target)
                last = row
            if taken:
                self._database.execute("DELETE FROM waiting WHERE id <= ?", (last,))
                self._taken += len(taken)
        return taken

    def wait(self, seconds: float) -> None:
        """Until something waits or nothing will; not longer than ``seconds``."""
        with self._filled:
            self._filled.wait_for(lambda: self.length or self.is_complete, seconds)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raises FleetResultsError where the database fails in this block."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        cause = f"what waits to be examined cannot be kept on disk ({error})"
        remedy = "Make room where temporary files go, or set TMPDIR to a directory that has it."
        raise FleetResultsError(cause, remedy=remedy) from error
