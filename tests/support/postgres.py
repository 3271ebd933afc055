# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL server for tests: on a Unix socket of its own, below a directory that is
removed, run by a plain user because initdb refuses root. Fast, and so of no use for a crash of the
machine; a crash of a process is all that tests make."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "64MB",
}
_MEMORY, _ROOM = "/dev/shm", 8 * 1024**3  # bytes
_INITDB = ("-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        socket: the directory of its socket.
        user: the superuser's name.
    """

    socket: Path
    user: str

    def url(self, database: str = "postgres", *, user: str = "") -> str:
        """For ``open_store``, or SQLAlchemy."""
        host = urllib.parse.quote(str(self.socket), safe="")
        return f"postgresql+psycopg://{user or self.user}@/{database}?host={host}"

    def run(self, sql: str, *, database: str = "postgres", user: str = "") -> str:
        """What ``psql`` prints, unaligned; a refusal is a CalledProcessError with its words."""
        command = [
            *(binary("psql") or "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
            *("-h", str(self.socket), "-U", user or self.user, "-d", database, "-f", "-"),
        ]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, sql, done.stdout, done.stderr)
        return done.stdout.strip()

    def new_database(self, name: str, template: str = "template0") -> str:
        """Make a database, a copy of ``template``, to which nobody is connected; its URL."""
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)


@contextlib.contextmanager
def running(*, on_disk: bool = False, **settings: str) -> Iterator[Server]:
    """A server with ``settings`` over the fast ones, until the end of the block; skips the test
    where PostgreSQL is not installed.

    Args:
        on_disk: even where its files fit into memory, which is quicker: each database has 300.
    """
    if binary("initdb") is None:
        pytest.skip("PostgreSQL's server is not installed")
    user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    # A socket's path has 107 bytes at most, which pytest's directories can exceed.
    where = None if on_disk or not _fits(_MEMORY) else _MEMORY
    top = Path(tempfile.mkdtemp(prefix="kih-pg-", dir=where))
    try:
        _give_to(top, user)
        data = ("-D", top / "data")
        _as(user, binary("initdb"), *data, "-U", user, *_INITDB)
        options = {**_FAST, "unix_socket_directories": str(top), **settings}
        lines = "".join(f"{name} = '{value}'\n" for name, value in options.items())
        with (top / "data" / "postgresql.auto.conf").open("a") as file:
            file.write(lines)
        control = (binary("pg_ctl"), *data, "-w", "-t", "60")
        _as(user, *control, "-l", top / "log", "start")
        try:
            yield Server(top, user)
        finally:
            _as(user, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(top, ignore_errors=True)


def _fits(directory: str) -> bool:
    """Whether several servers with a hundred databases fit into a file system."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(directory).free > _ROOM and os.access(directory, os.W_OK)
    return False


@cache
def binary(name: str) -> str | None:
    """The newest server program of this name, as Debian and others install it; None without."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: float(path.parts[-3]),
    )
    return str(debian[-1]) if debian else shutil.which(name)


def _give_to(path: Path, user: str) -> None:
    if os.getuid() == 0:
        found = pwd.getpwnam(user)
        os.chown(path, found.pw_uid, found.pw_gid)


def _as(user: str, *command: object) -> None:
    """Run a command as ``user``, who may be us."""
    who = pwd.getpwnam(user)
    is_other = os.getuid() == 0
    done = subprocess.run(
        [str(part) for part in command],
        cwd="/",
        env={**os.environ, "HOME": "/", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        user=who.pw_uid if is_other else None,
        group=who.pw_gid if is_other else None,
        extra_groups=() if is_other else None,
    )
    assert done.returncode == 0, done.stdout
