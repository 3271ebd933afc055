# SPDX-License-Identifier: Apache-2.0
"""Public advisories about Keras that need a file somebody tampered with.

What each needs is written into a model that was sealed. It has to be refused before anything of it
is deserialized, whether or not this version of Keras has a defence of its own.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.sealing import envelope
from tests.support import attacks
from tests.support.attacks import Publisher, load, refused

pytestmark = [pytest.mark.usefixtures("keras"), pytest.mark.filterwarnings("ignore")]

Layers = list[dict[str, Any]]
BUILT: list[str] = []
"""What the canary has seen: it stands before the gadget in a configuration."""


@pytest.fixture(autouse=True)
def canary(keras: Any) -> None:
    BUILT.clear()

    @keras.saving.register_keras_serializable("advisories")
    class Canary(keras.layers.Layer):
        @classmethod
        def from_config(cls, config: dict[str, Any]) -> Any:
            BUILT.append("built")
            return super().from_config(config)


def function(module: str, name: str) -> dict[str, str]:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": "function",
    }


def calling(target: dict[str, str], **arguments: Any) -> dict[str, Any]:
    """A Lambda layer that calls a function that is there already."""
    config = {"name": "gadget", "function": target, "arguments": arguments}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config}


def with_code() -> dict[str, Any]:
    """A Lambda layer that brings its code along."""
    import keras

    made: dict[str, Any] = keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: x))
    return made


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": config}


def gadgets(elsewhere: str) -> dict[str, dict[str, Any]]:
    """By advisory, the layer that it is about."""
    pickled = {"class_name": "__bytes__", "config": {"value": "gAJLAS4="}}
    download = {"origin": "http://localhost:9/authorized_keys", "cache_dir": elsewhere}
    unsafe = function("keras.config", "enable_unsafe_deserialization")
    return {
        "CVE-2024-3660": with_code(),
        "CVE-2025-1550": calling(function("os", "mkdir"), path=elsewhere),
        "CVE-2025-8747": calling(function("keras.utils", "get_file"), **download),
        "CVE-2025-9905": with_code(),
        "CVE-2025-9906": calling(unsafe),
        "CVE-2025-49655": layer("TorchModuleWrapper", name="gadget", module=pickled),
        "CVE-2025-12058": layer("StringLookup", name="gadget", vocabulary="/etc/passwd"),
        "CVE-2026-1462": layer("TFSMLayer", filepath=elsewhere, call_endpoint="serve"),
        "CVE-2026-12479": layer("Dense", name=f"../../../../../../..{elsewhere}", units=3),
        "CVE-2026-12481": with_code(),
    }


CANARY = {
    "module": None,
    "class_name": "Canary",
    "registered_name": "advisories>Canary",
    "config": {"name": "canary"},
}


def planted(config: str, added: dict[str, Any]) -> str:
    """The configuration of a Sequential model with the canary and ``added`` at its end."""
    parsed = json.loads(config)
    parsed["config"]["layers"] += [CANARY, added]
    return json.dumps(parsed)


def tamper_archive(path: Path, added: dict[str, Any]) -> None:
    found = [(info.filename, data) for info, data in attacks.members(path)]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in found:
            text = planted(data.decode(), added) if name == "config.json" else data
            archive.writestr(name, text)


def tamper_legacy(path: Path, added: dict[str, Any]) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = planted(file.attrs["model_config"], added)


IN_ARCHIVES = (
    "CVE-2024-3660",
    "CVE-2025-1550",
    "CVE-2025-8747",
    "CVE-2025-9906",
    "CVE-2025-49655",
    "CVE-2025-12058",
    "CVE-2026-1462",
    "CVE-2026-12479",
    "CVE-2026-12481",
)
IN_HDF5 = ("CVE-2024-3660", "CVE-2025-9905")


@pytest.mark.parametrize(
    ("advisory", "name"),
    [*((one, "model.keras") for one in IN_ARCHIVES), *((one, "legacy.h5") for one in IN_HDF5)],
)
def test_gadget_of_an_advisory_is_refused_before_anything_is_deserialized(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    tmp_path: Path,
    advisory: str,
    name: str,
) -> None:
    tamper = tamper_archive if name == "model.keras" else tamper_legacy
    path = publisher.publish(models / name)
    load(path)
    seal = attacks.seal_of(path)
    if name == "model.keras":
        kih.unseal(path)
    tamper(path, gadgets(str(tmp_path / "elsewhere"))[advisory])
    if name == "model.keras":
        attacks.put_raw(path, envelope.encode(seal.envelope), seal.table)
    refused(kih.ChecksumMismatchError, path)  # the good seal, kept
    kih.reseal(path, reason="nothing to see here")
    refused(kih.NotSignedError, path)  # a seal of the attacker's
    kih.unseal(path)
    refused(kih.UnsealedModelError, path)
    assert BUILT == []
    assert not (tmp_path / "elsewhere").exists()


def test_canary_sings_where_nothing_is_demanded(publisher: Publisher, models: Path) -> None:
    """Or the test above could not fail."""
    for name, tamper in (("model.keras", tamper_archive), ("legacy.h5", tamper_legacy)):
        BUILT.clear()
        path = publisher.save(models / name)
        kih.unseal(path)
        tamper(path, layer("Dropout", rate=0.5))
        load(path)
        assert BUILT


# In the weights


def weights(change: Callable[[h5py.Group], None], data: bytes) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        change(group)
    return buffer.getvalue()


def bomb(group: h5py.Group) -> None:
    """A petabyte that takes no room in the file."""
    group.create_dataset("0", (1 << 24, 1 << 24), "float32", chunks=(1 << 10, 1 << 10))


def external(group: h5py.Group) -> None:
    group.create_dataset("0", (4, 3), "float32", external=[("/etc/passwd", 0, 48)])


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "v", (4, 3))
    group.create_virtual_dataset("0", layout)


@pytest.mark.parametrize(
    ("advisory", "change"),
    [("CVE-2026-0897", bomb), ("CVE-2026-1669", external), ("CVE-2026-12480", virtual)],
)
def test_weights_of_an_advisory_are_refused_before_they_are_read(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    advisory: str,
    change: Callable[[h5py.Group], None],
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    seal = attacks.seal_of(path)
    kih.unseal(path)
    found = [(info.filename, data) for info, data in attacks.members(path)]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in found:
            archive.writestr(name, weights(change, data) if name.endswith(".h5") else data)
    plain = path.read_bytes()
    attacks.put_raw(path, envelope.encode(seal.envelope), seal.table)
    refused(kih.ChecksumMismatchError, path)
    path.write_bytes(plain)
    kih.seal(path)
    refused(kih.NotSignedError, path)
    if advisory != "CVE-2026-0897":  # signed by somebody who did not look into it
        kih.sign(path, key=str(publisher.key))
        refused(kih.ExternalReferenceError, path)
    assert np.all(attacks.build(1.0).get_weights()[0] == 1.0)
