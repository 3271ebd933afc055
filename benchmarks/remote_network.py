# SPDX-License-Identifier: Apache-2.0
"""Models in a store on a network, for ``benchmarks.remote --network``: what its users will see.

The store is an S3 server (moto) behind a line of a stated bandwidth and latency. Keras without the
hook, and without a plug-in of TensorFlow's for S3, does what people do then: it saves to a local
directory which fsspec uploads, and loads what fsspec has downloaded there.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.remote_cases import Case

_BUCKET = "benchmark"
_MOTO = """
import threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""
_NOBODYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Form(NamedTuple):
    """One form of a model, at a path or a URL.

    Attributes:
        name: what it is called there.
        save, load: as of a :class:`Case`, and where.
        target: likewise.
    """

    name: str
    save: Callable[[Any, str], object]
    load: Callable[[Any, str], object]
    target: float


def _load_archive(_: Any, where: str) -> object:
    import keras

    return keras.models.load_model(where)


def _load_export(_: Any, where: str) -> object:
    import tensorflow as tf

    loaded: object = tf.saved_model.load(where)
    return loaded


def _save_checkpoint(model: Any, where: str) -> None:
    import tensorflow as tf

    tf.train.Checkpoint(model=model).write(f"{where}/c")


def _load_checkpoint(model: Any, where: str) -> None:
    import tensorflow as tf

    tf.train.Checkpoint(model=model).read(f"{where}/c").assert_consumed()


FORMS = {
    ".keras": Form("m.keras", lambda model, where: model.save(where), _load_archive, 1.1),
    ".weights.h5": Form(
        "m.weights.h5",
        lambda model, where: model.save_weights(where),
        lambda model, where: model.load_weights(where),
        1.4,
    ),
    "SavedModel": Form(
        "exported", lambda model, where: model.export(where, verbose=False), _load_export, 1.4
    ),
    "checkpoint": Form("checkpoints", _save_checkpoint, _load_checkpoint, 1.4),
}


def cases() -> dict[str, Case]:
    """What is saved and loaded, with the hook where that is active in this process."""
    do = _by_copy if os.environ.get("KERAS_INTEGRITY") == "off" else _at_its_url
    return {name: do(form) for name, form in FORMS.items()}


def _at_its_url(form: Form) -> Case:
    url = f"s3://{_BUCKET}/{form.name}"

    def save(model: Any) -> object:
        _remove(form.name)
        return form.save(model, url)

    return Case(save, lambda model: form.load(model, url), form.target)


def _by_copy(form: Form) -> Case:
    there = f"{_BUCKET}/{form.name}"

    def save(model: Any) -> None:
        _remove(form.name)
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, form.name)
            form.save(model, str(here))
            if here.is_dir():
                _store().put(f"{here}/", f"{there}/", recursive=True)
            else:
                _store().put_file(str(here), there)

    def load(model: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, form.name)
            if _store().isdir(there):
                _store().get(f"{there}/", f"{here}/", recursive=True)
            else:
                _store().get_file(there, str(here))
            form.load(model, str(here))

    return Case(save, load, form.target)


def _store() -> Any:
    import fsspec

    return fsspec.filesystem("s3", use_listings_cache=False)


def _remove(name: str) -> None:
    if _store().exists(f"{_BUCKET}/{name}"):
        _store().rm(f"{_BUCKET}/{name}", recursive=True)


@contextlib.contextmanager
def store(bandwidth: float, latency: float) -> Iterator[Mapping[str, str]]:
    """An empty store: the variables by which a process finds it.

    Args:
        bandwidth: of the line to it, in MB/s.
        latency: of an answer, in ms.
    """
    clean = {**os.environ, **_NOBODYS, "KERAS_INTEGRITY": "off"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_started(["-c", _MOTO], clean))
        line = ["-m", "benchmarks.slow_line", server, str(bandwidth), str(latency)]
        port = stack.enter_context(_started(line, clean))
        found = {**_NOBODYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        _make_bucket(found["AWS_ENDPOINT_URL"])
        yield found


def _make_bucket(endpoint: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket=_BUCKET)


@contextlib.contextmanager
def _started(arguments: list[str], environment: Mapping[str, str]) -> Iterator[str]:
    """A Python that prints the port at which it listens."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()
