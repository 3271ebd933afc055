# SPDX-License-Identifier: Apache-2.0
"""Who examines: processes of Dask distributed, here or wherever a scheduler has them.

A scheduler runs whatever it is sent by whoever reaches it. One that is started here takes only who
has the certificate of this run: on a machine with other users a port of the loopback is no secret.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import texts
from keras_integrity_hook.errors import ConfigurationError, FleetWorkersError
from keras_integrity_hook.files import portable, temporary

if TYPE_CHECKING:
    from distributed import Client
else:  # for those who look annotations up at run time
    Client = object

AT_MOST = 1_024
TASKS_EACH = 2
"""For each model that is examined at once one task waits at the worker itself: its threads begin
and end together, and would all wait for the scheduler."""
_SECONDS_TO_CONNECT = 30
_LOOKS = 5.0  # seconds apart, whether there are workers
_SECONDS_WITHOUT = 60.0
_STARTS = 3  # of new workers in the place of those that are gone, before it is given up
_PER_CORE = 4  # most of the time a store is waited for


def usual_number() -> int:
    """How many models are examined at once where nobody says."""
    return min(32, _PER_CORE * portable.cores())


def require() -> None:
    """Raise ConfigurationError where what an audit needs is not installed."""
    from importlib.util import find_spec

    missing = [name for name in ("distributed", "pyarrow", "fsspec") if find_spec(name) is None]
    if missing:
        cause = f"an audit needs packages that are not installed: {', '.join(missing)}"
        raise ConfigurationError(cause, remedy=texts.extra("fleet", *missing))


@contextlib.contextmanager
def started(number: int) -> Iterator[Client]:
    """Workers on this machine, that examine ``number`` models at once.

    There are as many processes as cores at most, since what is waited for takes none, and several
    threads in each.

    Raises:
        FleetWorkersError: they cannot be started.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    processes = _processes(number)
    quiet: dict[str, Any] = {
        "distributed.comm.timeouts.connect": f"{_SECONDS_TO_CONNECT}s",
        "distributed.scheduler.worker-saturation": float(TASKS_EACH),
        "distributed.worker.daemon": True,
        # Nothing is served to browsers: there is no way to ask who they are.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        # What it keeps of every call would grow with the number of models.
        "distributed.worker.profile.enabled": False,
    }
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(temporary.private_folder(for_children=True))
        stack.enter_context(dask.config.set({**quiet, "temporary-directory": scratch}))
        security = Security.temporary()
        try:
            with _interrupts_not_passed_on():
                cluster = LocalCluster(
                    n_workers=processes,
                    threads_per_worker=number // processes,
                    processes=True,
                    host="127.0.0.1",
                    protocol="tls://",
                    security=security,
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                )
                stack.callback(_closed, cluster)
            client = Client(cluster, security=security, set_as_default=False)
            stack.callback(_closed, client)
        except Exception as error:
            cause = f"no worker can be started ({type(error).__name__}: {error})"
            raise FleetWorkersError(cause) from error
        yield client


@contextlib.contextmanager
def _interrupts_not_passed_on() -> Iterator[None]:
    """Let the processes that are started in this block not know of Ctrl-C, which a terminal sends
    to all of them: this one ends them, and each would print where it was. One that comes meanwhile
    comes at the end of the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its start would undo it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def of_scheduler(address: str) -> Iterator[Client]:
    """The workers of the scheduler at ``address``; certificates for ``tls://`` are those of Dask's
    own configuration.

    Raises:
        FleetWorkersError: it does not answer, has no worker, or they lack this package.
    """
    from distributed import Client

    try:
        client = Client(address, set_as_default=False, timeout=_SECONDS_TO_CONNECT)
    except Exception as error:
        cause = f"the scheduler {address} does not answer ({type(error).__name__}: {error})"
        raise FleetWorkersError(cause) from error
    try:
        _require_same(client, address)
        yield client
    finally:
        _closed(client)


@contextlib.contextmanager
def looked_after(client: Client) -> Iterator[None]:
    """Let nobody in this block wait for ever for workers that are all gone.

    Who restarts a worker that died gives up where that does not start, as on a machine that is
    busy with something else; a scheduler then waits for others. They are started once more where
    that can be done here; otherwise, and where it does not help, what waits for them is cancelled.
    """
    over = threading.Event()
    watching = threading.Thread(target=_look_after, args=(client, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def _look_after(client: Client, over: threading.Event) -> None:
    starts, since = 0, time.monotonic()
    while not over.wait(_LOOKS):
        try:
            is_there = bool(client.scheduler_info(n_workers=-1)["workers"])
        except Exception:  # it is closed, or has no scheduler: whoever waits is told
            continue
        if is_there:
            since = time.monotonic()
        elif time.monotonic() - since > _SECONDS_WITHOUT:
            if starts == _STARTS or not _started_again(client):
                _give_up(client)
            starts, since = starts + 1, time.monotonic()


def _give_up(client: Client) -> None:
    """Let whoever waits for an answer be told that there will be none."""
    from distributed import Future

    with contextlib.suppress(Exception):
        client.cancel([Future(key, client) for key in list(client.futures)], force=True)


def _started_again(client: Client) -> bool:
    """Whether new workers were asked for in the place of those that are gone."""
    cluster = client.cluster
    if cluster is None:
        return False
    number = len(cluster.worker_spec)
    with contextlib.suppress(Exception):
        cluster.scale(0)
        client.sync(cluster._correct_state)
        cluster.scale(number)
        return True
    return False


def number_of(client: Client) -> int:
    """How many models the workers of ``client`` examine at once."""
    return sum(client.nthreads().values())


def _processes(number: int) -> int:
    """How many of the cores divide ``number`` evenly: so many are at work, and no more."""
    cores = max(1, portable.cores())
    return max(one for one in range(1, min(cores, number) + 1) if number % one == 0)


def _require_same(client: Client, address: str) -> None:
    from keras_integrity_hook._version import __version__

    try:
        found = client.run(_version)
    except Exception as error:
        cause = f"the workers of {address} cannot examine models ({type(error).__name__}: {error})"
        raise FleetWorkersError(cause) from error
    others = sorted({version for version in found.values() if version != __version__})
    if others or not found:
        told = f"have version {', '.join(others)} and not {__version__}" if others else "are none"
        raise FleetWorkersError(f"the workers of {address} {told}")


def _version() -> str:
    from keras_integrity_hook._version import __version__

    return __version__


def _closed(one: Any) -> None:
    with contextlib.suppress(Exception):  # what is left of it goes with this process
        one.close()
