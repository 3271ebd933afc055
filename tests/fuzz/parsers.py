# SPDX-License-Identifier: Apache-2.0
"""Every parser of bytes that others wrote, with seeds, for the searches for slow inputs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import h5py
import numpy as np

from keras_integrity_hook.containers import hdf5, hdf5_map, keras_zip, member_names
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.containers.regions import name_regions
from keras_integrity_hook.contracts import sealed, spelling
from keras_integrity_hook.contracts.contract import InputContract
from keras_integrity_hook.contracts.input_rules import InputRules
from keras_integrity_hook.detached import bundle, vsa
from keras_integrity_hook.inspection import (
    archives,
    checkpoints,
    config,
    hdf5_config,
    hdf5_weights,
    keras_metadata,
    pickles,
    saved_model,
)
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers, notes, signed, tiles
from keras_integrity_hook.saving import seal_writer
from keras_integrity_hook.sealing import block, envelope, statement, tree
from keras_integrity_hook.sealing.content import FileContent
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.sealing.statement import Region, Statement
from keras_integrity_hook.settings import toml_file
from keras_integrity_hook.signing import trust_file
from tests.fuzz import registries
from tests.support import graphs


class Parser(NamedTuple):
    """A parser, which raises IntegrityError or ends, and inputs to begin with."""

    parse: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


@contextlib.contextmanager
def file_of(data: bytes) -> Iterator[int]:
    """A descriptor of a nameless file that holds ``data``."""
    fd = os.memfd_create("fuzz")
    try:
        os.write(fd, data)
        yield fd
    finally:
        os.close(fd)


def _map_of(locate: Callable[[int, int], Layout]) -> Callable[[bytes], object]:
    """Find the content of a file and make the map that a seal of it would have."""

    def parse(data: bytes) -> object:
        with file_of(data) as fd:
            found = locate(fd, len(data))
            return name_regions(found, tree.chunk_size_for(found.content.size))

    return parse


def _walk(data: bytes) -> object:
    with file_of(data) as fd:
        content = FileContent(fd, 0, len(data))
        return hdf5_map.datasets(content, 0, len(data), hdf5_map.Budget())


def _seal(data: bytes) -> object:
    return statement.decode(envelope.decode(block.decode(data).envelope).payload)


def _weights(user_block: int = 0) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=user_block) as file:
        for layer in ("dense", "dense_1"):
            variables = file.create_group(f"layers/{layer}/vars")
            variables["0"], variables["1"] = [[1.0, 2.0]], [3.0]
    return stream.getvalue()


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("config.json", b"{}")
        archive.writestr("model.weights.h5", _weights())
    return stream.getvalue()


def _sealed(data: bytes) -> bytes:
    with file_of(data) as fd:
        seal_writer.seal_in_place(fd, subject="model")
        return os.pread(fd, os.fstat(fd).st_size, 0)


def _statement() -> bytes:
    regions = (Region("config.json", 30, 100, 7), Region("weights", 200, 2 << 20))
    return statement.encode(
        Statement(
            *("model.keras", "00" * 32, "keras-zip", "sha256"),
            size=3 << 20,
            chunk_size=1 << 20,
            created="2026-01-01T00:00:00Z",
            regions=regions,
        )
    )


def _envelope() -> bytes:
    return envelope.encode(Envelope(_statement(), (Signature("key", "c2ln"),)))


def _inspected(
    inspector: Callable[..., Iterable[Finding]], *more: object
) -> Callable[[bytes], object]:
    """All findings of one inspector of a file."""

    def parse(data: bytes) -> object:
        with file_of(data) as fd:
            content = FileContent(fd, 0, len(data))
            return list(islice(inspector(content, "file", *more), LIMITS.inspected_findings))

    return parse


def _arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.ones((2, 3)), b=np.array([1]))
    return stream.getvalue()


def _graph() -> bytes:
    inner = graphs.function("f", ["a"], graphs.node("ReadFile", "read", "a"))
    outer = graphs.function(
        "g", ["b"], graphs.node("PartitionedCall", "call", "b", f=graphs.function_of("f"))
    )
    call = graphs.node("StatefulPartitionedCall", "c", "path", f=graphs.function_of("g"))
    nodes = (graphs.constant("path", "/x"), call, graphs.splat("s", 3, 4))
    return graphs.saved_model(*nodes, functions=[inner, outer], saver="s", assets={"x": "words"})


def _of_json(parse: Callable[[object], object]) -> Callable[[bytes], object]:
    """``parse`` of what JSON spells; what is no JSON is no input of it."""

    def parsed(data: bytes) -> object:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return parse(value)

    return parsed


def _config() -> bytes:
    layer = {
        "module": "keras.layers",
        "class_name": "Dense",
        "config": {"name": "d", "units": 3, "activation": "relu", "dtype": "float32"},
        "build_config": {"input_shape": [None, 4]},
    }
    wrapper = {"module": "keras.layers", "class_name": "Bidirectional", "config": {"layer": layer}}
    config = {"name": "m", "layers": [layer, wrapper]}
    model = {"module": "keras", "class_name": "Sequential", "config": config}
    return json.dumps(model).encode()


def _legacy() -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.attrs["model_config"] = _config()
        file.attrs["training_config"] = b'{"loss": "mse", "optimizer_config": {}}'
        file.create_group("model_weights").attrs["layer_names"] = ["d"]
    return stream.getvalue()


def _metadata() -> bytes:
    layer = {3: b"root.layer-1", 4: b"_tf_keras_layer", 5: _config()}
    return graphs.message({1: graphs.message(layer)}) * 2


def _trust() -> bytes:
    digits = "0" * 64
    rows = f'keyid = "{digits}"\nscheme = "ed25519"\npublic = """x"""\n'
    people = f'[[keys]]\nname = "a"\n{rows}[[vetters]]\nname = "b"\n{rows}'
    return f'{people}[[revoked_models]]\nroot = "{digits}"\nreason = "bad"\n'.encode()


def _contract() -> bytes:
    rules = [
        InputRules("a", (None, 4), "float", minimum=-0.5, maximum=1e300),
        InputRules("b", (None,), "string", allowed=("x", "y"), maximum_length=3, optional=True),
    ]
    return json.dumps(InputContract(rules).to_dict()).encode()


def _summary() -> bytes:
    return vsa.encode(
        vsa.Summary(
            *("model", f"sha256:{'00' * 32}"),
            passed=True,
            at="2026-01-01T00:00:00Z",
            versions={"keras": "3"},
        )
    )


PARSERS = {
    "inspected configuration": Parser(_inspected(config.inspect), lambda: [_config()]),
    "inspected legacy HDF5": Parser(_inspected(hdf5_config.inspect), lambda: [_legacy()]),
    "inspected metadata of Keras": Parser(
        _inspected(keras_metadata.inspect), lambda: [_metadata()]
    ),
    "inspected pickle": Parser(
        _inspected(pickles.inspect), lambda: [pickle.dumps({"a": [1, "b", (2.0, None)]})]
    ),
    "input contract": Parser(_of_json(spelling.read), lambda: [_contract()]),
    "contract in a seal": Parser(_of_json(sealed.from_seal), lambda: [_contract()]),
    "verification summary": Parser(vsa.decode, lambda: [_summary()]),
    "verification summaries": Parser(
        vsa.decode_lines,
        lambda: [vsa.encode_line(Envelope(_summary(), (Signature("key", "c2ln"),))) * 2],
    ),
    "inspected HDF5": Parser(_inspected(hdf5_weights.inspect), lambda: [_weights()]),
    "inspected graph": Parser(_inspected(saved_model.inspect), lambda: [_graph()]),
    "inspected arrays": Parser(_inspected(archives.inspect_arrays), lambda: [_arrays()]),
    "inspected checkpoint": Parser(
        _inspected(checkpoints.inspect, {"file.data-00000-of-00001": 24}),
        lambda: [graphs.checkpoint_index({"a": graphs.checkpoint_entry(2, 3, size=24)})],
    ),
    "zip": Parser(_map_of(keras_zip.locate), lambda: [_archive(), _sealed(_archive())]),
    "hdf5": Parser(_map_of(hdf5.locate), lambda: [_weights(), _sealed(_weights(8192))]),
    "hdf5 map": Parser(_walk, lambda: [_weights()]),
    "block": Parser(_seal, lambda: [block.encode(_envelope(), bytes(96), 16)]),
    "statement": Parser(statement.decode, lambda: [_statement()]),
    "envelope": Parser(envelope.decode, lambda: [_envelope()]),
    "event of a registry": Parser(signed.decode, lambda: list(map(registries.event, range(3)))),
    "answer of a registry": Parser(answers.decode, lambda: [registries.answer()]),
    "checkpoint": Parser(notes.unverified_checkpoint, lambda: [registries.note()]),
    "bundle of entries": Parser(
        lambda data: tiles.decode_bundle(data, 2), lambda: [registries.bundle()]
    ),
    "index of shards": Parser(
        member_names.shards_in, lambda: [b'{"weight_map": {"a": ["m_00000.weights.h5"], "b": "c"}}']
    ),
    "bundle": Parser(
        bundle.decode,
        lambda: [
            bundle.encode(
                bundle.Bundle(b"{}", b"x", bundle.Method.CERTIFICATE, certificates=(b"der",))
            )
        ],
    ),
    "policy": Parser(
        lambda data: toml_file.parse(data, "policy.toml", toml_file.Layer.USER),
        lambda: [b'mode = "enforce"\n[[rules]]\npath = "/models/*"\nrequire = "signed"\n'],
    ),
    "trust file": Parser(
        lambda data: trust_file.parse(data, "trust.toml"),
        lambda: [_trust()],
    ),
}
