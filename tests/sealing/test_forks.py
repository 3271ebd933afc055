# SPDX-License-Identifier: Apache-2.0
"""Processes that are forked while threads use what hashlib uses."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORKING = """
import hashlib, os, ssl, sys, threading, time
from keras_integrity_hook import settings  # as what wraps Keras does, and no more
sys.path.insert(0, sys.argv[1])
from tests.support import forks

def connect():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    connection = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="store")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass

def digest():
    while True:
        hashlib.sha256(b"x" * 5000).digest()

def start():
    while True:
        thread = threading.Thread(target=connect)
        thread.start()
        thread.join()

def work():
    from keras_integrity_hook.sealing import tree

    for algorithm in tree.ALGORITHMS:
        if algorithm != "blake3":
            digest = tree.new_hash(algorithm)
            digest.update(b"x" * 5000)
            digest.digest()

sys.setswitchinterval(1e-5)
for one in (start, start, start, digest):
    threading.Thread(target=one, daemon=True).start()
ended = all(forks.ends(work) for _ in range(150))
print("ended" if ended else "hung", flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_child_forked_while_threads_connect_and_digest_can_digest() -> None:
    """OpenSSL takes a lock when it looks for an algorithm the first time, and for connections."""
    command = [sys.executable, "-c", FORKING, os.getcwd()]
    done = subprocess.run(command, check=True, timeout=900, capture_output=True, text=True)
    assert done.stdout == "ended\n", done.stderr
