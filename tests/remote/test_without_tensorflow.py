# SPDX-License-Identifier: Apache-2.0
"""A Keras without TensorFlow, which takes no URLs by itself, saves to them and loads from them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.buckets import Bucket
from tests.support.processes import ARM, environment

SCRIPT = """
import sys
sys.modules["tensorflow"] = None  # as where it is not installed
import warnings
warnings.simplefilter("ignore")
import boto3, keras, numpy
import keras_integrity_hook as kih
place, endpoint = sys.argv[1:]
bucket = place.partition("://")[2]
client = boto3.client("s3", endpoint_url=endpoint)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer="ones")])
for name in ("m.keras", "m.weights.h5", "m.h5"):
    url = f"{place}/{name}"
    (model.save_weights if "weights" in name else model.save)(url)
    def load():
        if "weights" not in name:
            return keras.models.load_model(url)
        other = keras.models.clone_model(model)
        other.load_weights(url)
        return other
    assert numpy.all(load().get_weights()[0] == 1)
    data = bytearray(client.get_object(Bucket=bucket, Key=name)["Body"].read())
    data[len(data) // 2] ^= 1
    client.put_object(Bucket=bucket, Key=name, Body=bytes(data))
    try:
        load()
    except kih.IntegrityError as error:
        print("refused", error.path)
    else:
        print("loaded", url)
try:
    keras.models.load_model("gs://nowhere/m.keras")
except kih.UnknownSchemeError as error:
    print(error.remedy())
"""


def test_every_form_goes_to_a_bucket_and_a_damaged_one_is_refused(
    bucket: Bucket, tmp_path: Path
) -> None:
    backend = os.environ.get("KERAS_BACKEND", "jax")
    pytest.importorskip(backend)
    (tmp_path / "sitecustomize.py").write_text(ARM)
    env = environment(str(tmp_path), KERAS_BACKEND=backend, **bucket.environment)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, bucket.url, bucket.endpoint],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    names = ("m.keras", "m.weights.h5", "m.h5")
    *refused, remedy = done.stdout.splitlines()
    assert refused == [f"refused {bucket.url}/{name}" for name in names]
    assert "gcsfs" in remedy
    assert bucket.names() == sorted(names)
