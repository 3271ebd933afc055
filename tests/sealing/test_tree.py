# SPDX-License-Identifier: Apache-2.0
"""Chunk digests are computed by several threads, or by one where there are no more to be had."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

DIGEST = """
import atexit, os, sys, threading
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.sealing.content import FileContent

def digest():
    fd = os.open(sys.argv[1], os.O_RDONLY)
    content = FileContent(fd, 0, os.fstat(fd).st_size)
    print(tree.table(content, chunk_size=1 << 20, algorithm="sha256").hex())

"""
NO_THREADS = """
def refused(self):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refused
digest()
"""


@pytest.mark.parametrize(
    "how",
    ["digest()", "atexit.register(digest)", NO_THREADS],
    ids=["at once", "after the main thread has ended", "without another thread"],
)
def test_every_chunk_is_digested(tmp_path: Path, how: str) -> None:
    path = tmp_path / "content"
    chunks = [bytes([number]) * (1 << 20) for number in range(7)] + [b"rest"]
    path.write_bytes(b"".join(chunks))
    done = subprocess.run(
        [sys.executable, "-c", DIGEST + how, str(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    expected = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
    assert done.stdout.strip() == expected.hex()
