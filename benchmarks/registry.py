# SPDX-License-Identifier: Apache-2.0
"""Registering and looking up beside MLflow's registry, on the same PostgreSQL; and looking up among
a million versions.

``python -m benchmarks.registry --mlflow PYTHON [--versions N]``: PYTHON is the interpreter of an
environment with mlflow and psycopg. Both stores are called directly, without a server between: what
is compared is MLflow's ``create_model_version`` with a registration whose signature and rules are
checked and whose place in the Merkle tree is signed, and ``get_model_version`` with an answer that
carries events and proofs. MLflow has no call that registers many; of both, so many threads register
at once, too.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import Store, open_store
from keras_integrity_hook.signing import signers
from tests.support import postgres
from tests.support.registries import Cast, registration

REGISTERED, LOOKED_UP, MODELS, AT_ONCE, THREADS = 1_000, 10_000, 10, 100, 32
TIMES_FASTER, P99 = 10.0, 5.0  # what is promised; the second in milliseconds
ONE, POST = "registration, one by one", f"registration, {AT_ONCE} in a post"
LOOK = f"look-up, {LOOKED_UP:,} of {REGISTERED:,} versions"
THREADED = f"registration, {THREADS} threads"
CREATE, GET = "MLflow: create_model_version", "MLflow: get_model_version"
CREATE_THREADED = f"{CREATE}, {THREADS} threads"
_LOOKS = 5_000  # among many versions

_MLFLOW = """
import sys, random, time, warnings
from concurrent.futures import ThreadPoolExecutor
warnings.filterwarnings("ignore")
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
store, models, made, chance = SqlAlchemyStore(sys.argv[1]), int(sys.argv[2]), 0, random.Random(1)
threads = int(sys.argv[3])
for number in range(models):
    store.create_registered_model(f"m{number}")
for number in range(threads):  # one for each: nobody waits for the number of another's version
    store.create_registered_model(f"t{number}")
def create(thread, count):
    for _ in range(count):
        store.create_model_version(f"t{thread}", "file:///models/m", None)
store.create_model_version("m0", "file:///models/m", None)
for line in sys.stdin:
    action, count = line.split()
    numbers = range(made, made + int(count))
    if action == "get":
        numbers = [chance.randrange(made - 1) for _ in numbers]
    start = time.perf_counter()
    if action == "threads":
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(create, range(threads), [int(count) // threads] * threads))
        numbers = []
    for n in numbers:
        if action == "get":
            store.get_model_version(f"m{n % models}", n // models + 1)
        else:
            store.create_model_version(f"m{n % models}", "file:///models/m", None)
    print("ms", (time.perf_counter() - start) / int(count) * 1000, flush=True)
    made += int(count) * (action == "create")
"""

Figures = dict[str, list[float]]
"""Milliseconds for each registration or look-up, in each round, by what they are called."""


def main(arguments: list[str]) -> int:
    """Print what was measured; 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mlflow", help="an interpreter whose environment has mlflow")
    parser.add_argument("--versions", type=int, default=1_000_000)
    given = parser.parse_args(arguments)
    kept = True
    # As people have it: what was acknowledged outlives a crash of the machine.
    lasting = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    with postgres.running(on_disk=True, **lasting) as server:
        if given.mlflow:
            child = [given.mlflow, "-c", _MLFLOW, server.new_database("mlflow")]
            child += [str(MODELS), str(THREADS)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            with subprocess.Popen(child, text=True, **pipes) as theirs:  # type: ignore[call-overload]
                kept = compared(measured(server.new_database("ours"), theirs))
        if given.versions:
            kept &= among_many(server.new_database("many"), given.versions)
    return int(not kept)


def measured(url: str, theirs: subprocess.Popen[str]) -> Figures:
    """Both by turns, so that what else the machine does meets both."""
    names = (ONE, POST, THREADED, CREATE, CREATE_THREADED, LOOK, GET)
    figures: Figures = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder, open_store(url, create=True) as store:
        cast, key, now = founded(store, Path(folder))

        def append(some: list[SignedEvent]) -> None:
            store.append_many(some, service_key=key, now=now)

        bodies = [
            registration(f"m{number % MODELS}", f"1.{number // MODELS}")
            for number in range(2 * REGISTERED)
        ]
        events = [cast.signed(body, "carol") for body in bodies]
        for at in range(0, 2 * REGISTERED, 2 * AT_ONCE):
            singles, post = events[at : at + AT_ONCE], events[at + AT_ONCE : at + 2 * AT_ONCE]
            figures[ONE].append(timed(lambda one: append([one]), singles))
            figures[CREATE].append(asked_of(theirs, "create", AT_ONCE))
            figures[POST].append(timed(append, [post]) / AT_ONCE)
            some = [
                cast.signed(registration(f"t{number}", f"1.{at}"), "carol")
                for number in range(2 * THREADS)
            ]
            figures[THREADED].append(timed_by_threads(lambda one: append([one]), some))
            figures[CREATE_THREADED].append(asked_of(theirs, "threads", len(some)))
        chance = random.Random(1)
        roots = [body.root for body in bodies[:REGISTERED]]
        for _ in range(LOOKED_UP // REGISTERED):
            asked = [chance.choice(roots) for _ in range(REGISTERED)]
            figures[LOOK].append(timed(lambda root: store.answer([root]), asked))
            figures[GET].append(asked_of(theirs, "get", REGISTERED))
    return figures


def asked_of(theirs: subprocess.Popen[str], action: str, count: int) -> float:
    """What MLflow needs for each of so many; it prints lines of its own among ours."""
    assert theirs.stdin is not None
    assert theirs.stdout is not None
    theirs.stdin.write(f"{action} {count}\n")
    theirs.stdin.flush()
    return next(float(line.split()[1]) for line in theirs.stdout if line.startswith("ms "))


def founded(store: Store, folder: Path) -> tuple[Cast, signers.SigningKey, datetime]:
    cast, now = Cast(folder), datetime.now(UTC)
    key = signers.find(cast.service)
    store.append(cast.founding(), service_key=key, now=now)
    return cast, key, now


def timed(action: Callable[[Any], object], values: Iterable[Any]) -> float:
    """Milliseconds for each."""
    every = list(values)
    start = time.perf_counter()
    for value in every:
        action(value)
    return (time.perf_counter() - start) / len(every) * 1000


def timed_by_threads(action: Callable[[Any], object], values: list[Any]) -> float:
    """Milliseconds for each, where so many threads do it at once."""
    with ThreadPoolExecutor(THREADS) as pool:
        start = time.perf_counter()
        list(pool.map(action, values))
        return (time.perf_counter() - start) / len(values) * 1000


def compared(figures: Figures) -> bool:
    """Print medians, and how many times faster ours is; whether what is promised is kept."""
    medians = {name: statistics.median(rounds) for name, rounds in figures.items()}
    for name, figure in medians.items():
        print(f"{name:46} {figure:8.2f} ms")
    times = {name: medians[CREATE] / medians[name] for name in (ONE, POST)}
    times[THREADED] = medians[CREATE_THREADED] / medians[THREADED]
    times[LOOK] = medians[GET] / medians[LOOK]
    for name, factor in times.items():
        print(f"{'times faster: ' + name:46} {factor:8.1f}")
    return min(times[POST], times[LOOK]) >= TIMES_FASTER


def among_many(url: str, versions: int) -> bool:
    """Look-ups, none of which was made before, among rows like those of so many versions."""
    with tempfile.TemporaryDirectory() as folder, open_store(url, create=True) as store:
        founded(store, Path(folder))
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in _FILLED:
            connection.execute(sa.text(statement), {"n": versions})
        connection.execute(sa.text("VACUUM ANALYZE"))
        size = connection.execute(
            sa.text("SELECT pg_size_pretty(pg_database_size(current_database()))")
        ).scalar_one()
        chance = random.Random(2)
        asked = [
            connection.execute(
                sa.text("SELECT encode(sha256(convert_to('a' || :i, 'UTF8')), 'hex')"),
                {"i": str(chance.randint(1, versions))},
            ).scalar_one()
            for _ in range(_LOOKS)
        ]
    engine.dispose()
    with open_store(url) as store:
        for root in asked[:100]:
            store.answer([root])
        spent = [timed(lambda root: store.answer([root]), [one]) for one in asked[100:]]
    cut = statistics.quantiles(spent, n=100)
    label = f"look-up among {versions:,} versions ({size})"
    print(f"{label + ': p50':46} {cut[49]:8.2f} ms")
    print(f"{label + ': p99':46} {cut[98]:8.2f} ms")
    return bool(cut[98] <= P99)


# Rows as many versions would have them, written by the server itself in a minute or two. What their
# events say, and the hashes, are made up: looking up reads them and computes nothing from them.
_FILLED = (
    """
    INSERT INTO registry_entries SELECT i, sha256(convert_to('e' || i, 'UTF8')),
        convert_to(repeat(md5(i::text), 50), 'UTF8') FROM generate_series(1, :n) i
    """,
    """
    INSERT INTO registry_nodes SELECT i, sha256(convert_to('n' || i, 'UTF8'))
        FROM generate_series(1, 2 * CAST(:n AS bigint) + 1) i
    """,
    """
    INSERT INTO registry_models SELECT 'model ' || i, '{}', '1.99', 100, :n, ''
        FROM generate_series(0, CAST(:n AS bigint) / 100) i
    """,
    """
    INSERT INTO registry_versions SELECT 'model ' || i / 100, '1.' || i % 100, i, '["carol"]'
        FROM generate_series(1, :n) i
    """,
    """
    INSERT INTO registry_contents SELECT i, format(
        '[["%s"],{},[["model %s","1.%s"]],[]]',
        encode(sha256(convert_to('a' || i, 'UTF8')), 'hex'), i / 100, i % 100
    ) FROM generate_series(1, :n) i
    """,
    """
    INSERT INTO registry_digests SELECT sha256(convert_to('a' || i, 'UTF8')), i
        FROM generate_series(1, :n) i
    """,
    """
    INSERT INTO registry_digests SELECT sha512(convert_to(k || i, 'UTF8')), i
        FROM generate_series(1, :n) i, (VALUES ('b'), ('c')) AS kinds(k)
    """,
    """
    INSERT INTO registry_subjects SELECT 'model ' || i / 100, '1.' || i % 100, i
        FROM generate_series(1, :n) i
    """,
    "INSERT INTO registry_checkpoints SELECT :n + 1, 'made up'",
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
