# SPDX-License-Identifier: Apache-2.0
"""Code of a model tries to get out of the sandbox: each attempt is refused, and told."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import sandbox
from tests.sandbox import escapes
from tests.sandbox.escapes import ESCAPES
from tests.support.sandboxes import needs_sandbox, with_code

pytestmark = [
    needs_sandbox,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of calls are of x86-64"),
]
SECRET = "a secret of the user"
_ANSWER = """
import json as _json
import tensorflow as _tf
_said = _json.dumps(run_all({world!r})).encode()
answer = _tf.constant([list(_said)], "float32")
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What is attacked: files, a process, a port, sockets and shared memory, all real."""
    folder = tmp_path_factory.mktemp("world")
    secret = folder / "secret"
    secret.write_text(SECRET)
    abstract = f"keras-integrity-{os.getpid()}"
    key = 0x6B690000 + os.getpid() % 0x10000
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    with (
        socket.create_server(("127.0.0.1", 0)) as port,
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        file.bind(str(folder / "socket"))
        unnamed.bind("\0" + abstract)
        for one in (file, unnamed):
            one.listen()
        libc = ctypes.CDLL(None)
        shared = libc.shmget(key, 4096, 0o1666)
        yield {
            "folder": str(folder),
            "secret": str(secret),
            "victim": victim.pid,
            "port": port.getsockname()[1],
            "socket": str(folder / "socket"),
            "abstract": abstract,
            "shared": key,
            "numpy": "numpy",
        }
        libc.shmctl(shared, 0, 0)
    victim.kill()
    victim.wait()


@pytest.fixture(scope="module")
def attacker(keras: Any, world: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose code tries all of it when it is called."""
    source = Path(escapes.__file__).read_text() + _ANSWER.format(world=world)
    # The text of a module needs a name to be one: classes ask for it.
    code = f"exec({source!r}, space := {{'__name__': 'escapes'}})\nanswer = space['answer']"
    path = tmp_path_factory.mktemp("attacker") / "attacker.keras"
    return with_code(code, path, then="answer")


@pytest.fixture(scope="module", params=[None, 1], ids=["newest Landlock", "Landlock ABI 1"])
def tried(
    request: pytest.FixtureRequest, attacker: Path
) -> tuple[dict[str, str], list[sandbox.Attempt]]:
    """What became of each attempt, as the model says; and what the parent was told."""
    import numpy as np

    with (
        sandbox.Sandbox(on_attempt="tell", _abi=request.param) as box,
        box.load_model(attacker, is_last=True, safe_mode=False) as model,
    ):
        said = model.predict_on_batch(np.zeros((1, 4), "float32"))
        return json.loads(bytes(said[0].astype("u1"))), list(model.attempts)


@pytest.mark.parametrize("name", ESCAPES)
def test_escape_is_refused_and_told(
    tried: tuple[dict[str, str], list[sandbox.Attempt]], world: dict[str, Any], name: str
) -> None:
    outcomes, attempts = tried
    escape = ESCAPES[name]
    assert not outcomes[name].startswith("ESCAPED"), outcomes[name]
    where = str(world.get(escape.where, escape.where))
    told = [
        one
        for one in attempts
        if one.call.split()[0] in escape.told and where in one.target and one.source == "kernel"
    ]
    assert told, (outcomes[name], [str(one) for one in attempts if one.call in escape.told])


def test_world_is_as_it_was(
    tried: tuple[dict[str, str], list[sandbox.Attempt]], world: dict[str, Any]
) -> None:
    secret = Path(world["secret"])
    assert secret.read_text() == SECRET
    assert sorted(os.listdir(world["folder"])) == ["secret", "socket"]
    assert secret.stat().st_mode & 0o777 == 0o644
    assert os.listxattr(secret) == []
    os.kill(world["victim"], 0)
    assert not Path("/dev/shm/keras-integrity-escaped").exists()
    assert not (Path(sys.modules["numpy"].__file__ or "").parent / "escaped.py").exists()


def test_enough_is_tried() -> None:
    assert len(ESCAPES) >= 40
