# SPDX-License-Identifier: Apache-2.0
"""Text in a seal is harmless wherever it ends up, and fields of later versions are kept."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers.opening import open_model
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing import block, canonical, envelope, statement
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.sealing.statement import Statement
from tests.support.models import CONTAINERS, write_model

NASTY = "a\n2026-01-01 INFO all verified\x1b[2J\x9b1m\u202etxt.exe\u2028"
# What a line of a log or a terminal would act on, but for the line feed that ends the line itself.
ACTIVE = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
EXTENSIONS: dict[str, Any] = {
    "inputs2": {"batch": None, "shape": [None, 32]},
    "later": "text",
    "zz": [1, True, None],
}


def reworded(path: Path, **stated: Any) -> None:
    """Give the sealed model at ``path`` a seal that says this, too, of the same content."""
    with open_model(path) as model:
        assert model.seal is not None
        payload = statement.encode(replace(model.seal.statement, **stated))
        write_payload(path, payload)


def write_payload(path: Path, payload: bytes) -> None:
    with open_model(path) as model:
        seal = model.seal
        assert seal is not None
        content = model.content.read(0, model.content.size)
    wrapped = envelope.encode(Envelope(payload, seal.envelope.signatures))
    if path.suffix == ".keras":
        bare = block.encode(wrapped, seal.table)
        (at,) = struct.unpack_from("<I", content, len(content) - 6)
        data = bytearray(content[:at] + bare + content[at:])
        struct.pack_into("<I", data, len(data) - 6, at + len(bare))
        path.write_bytes(data)
        return
    size = block.OVERHEAD + len(wrapped) + len(seal.table)
    room = 1 << (size - 1).bit_length()
    path.write_bytes(block.encode(wrapped, seal.table, room - size) + content)


def predicate_of(path: Path) -> dict[str, Any]:
    with open_model(path) as model:
        assert model.seal is not None
        value = canonical.decode(model.seal.envelope.payload)["predicate"]
        assert isinstance(value, dict)
        return value


@pytest.fixture(params=CONTAINERS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = write_model(tmp_path, request.param)
    kih.seal(made)
    return made


def with_nasty_names(path: Path) -> None:
    with open_model(path) as model:
        assert model.seal is not None
        regions = tuple(one._replace(name=one.name + NASTY) for one in model.seal.statement.regions)
    reworded(path, subject=NASTY, provenance={NASTY: NASTY}, regions=regions)


def test_names_in_errors_are_escaped(path: Path) -> None:
    with_nasty_names(path)
    data = bytearray(path.read_bytes())
    at = data.rindex(struct.pack("<f", 1.0))  # the last variable
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        kih.verify(path)
    shown = [caught.value.in_one_line(), *caught.value.parts]
    assert "all verified" in shown[0]
    assert not any(ACTIVE.search(text) or "\n" in text for text in shown)
    assert all(not line or line.startswith("    ") for line in str(caught.value).split("\n")[1:])
    assert not ACTIVE.search("".join(traceback.format_exception(caught.value)))


def test_names_in_reports_are_escaped(path: Path) -> None:
    with_nasty_names(path)
    seal = kih.inspect(path).seal
    assert seal is not None
    facts = (*seal.provenance, *seal.provenance.values())
    for text in (seal.subject, *facts, *(one.name for one in seal.regions)):
        assert "all verified" in text
        assert not ACTIVE.search(text)
        assert "\n" not in text


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_what_inspect_prints_is_escaped(path: Path, options: tuple[str, ...]) -> None:
    with_nasty_names(path)
    done = subprocess.run(
        [sys.executable, "-m", "keras_integrity_hook.cli", "inspect", *options, str(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "all verified" in done.stdout
    assert not ACTIVE.search(done.stdout + done.stderr)
    assert not re.search("^2026-01-01 INFO", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("field", ["model", "created", "expires", "datasets"])
def test_control_characters_in_what_is_compared_are_refused(path: Path, field: str) -> None:
    values: dict[str, Any] = {"model": {"name": NASTY}, "datasets": {"d": NASTY}}
    reworded(path, **{field: values.get(field, NASTY)})
    with pytest.raises(kih.MalformedSealError, match="control characters"):
        kih.inspect(path)


def test_control_characters_in_a_key_id_are_refused() -> None:
    crafted = envelope.encode(Envelope(b"{}", (Signature(NASTY, "AAAA"),)))
    with pytest.raises(kih.MalformedSealError, match="control characters"):
        envelope.decode(crafted)


@pytest.mark.parametrize(
    "text", ["YQ", "YQ=", "YQ===", "YR==", "YWI", "YWJ=", "YWJj=", "YWJj\n", 7]
)
def test_base64_has_one_spelling(text: Any) -> None:
    value = {"payload": text, "payloadType": envelope.PAYLOAD_TYPE, "signatures": []}
    with pytest.raises(kih.MalformedSealError, match="base64"):
        envelope.decode(canonical.encode(value))


# Fields of later versions


def test_unknown_fields_are_shown(path: Path) -> None:
    reworded(path, extensions=EXTENSIONS)
    report = kih.verify(path)
    assert report.seal is not None
    assert report.seal.extensions == EXTENSIONS
    json.dumps(report.to_dict())
    done = subprocess.run(
        [sys.executable, "-m", "keras_integrity_hook.cli", "inspect", str(path)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert "later" in done.stdout


def test_unknown_fields_are_encoded_byte_for_byte(path: Path) -> None:
    reworded(path, extensions=EXTENSIONS)
    with open_model(path) as model:
        assert model.seal is not None
        payload = model.seal.envelope.payload
    assert statement.encode(statement.decode(payload)) == payload


def test_unknown_fields_survive_a_signature(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reworded(path, extensions=EXTENSIONS)
    before = predicate_of(path)
    private = tmp_path / "key.pem"
    for words in (
        ("keygen", str(private), "--no-passphrase"),
        ("sign", str(path), "--key", str(private)),
    ):
        subprocess.run(
            [sys.executable, "-m", "keras_integrity_hook.cli", *words],
            capture_output=True,
            check=True,
        )
    assert predicate_of(path) == before
    assert kih.verify(path).seal.signatures == 1  # type: ignore[union-attr]


def test_seal_without_unknown_fields_is_spelt_as_before(path: Path) -> None:
    with open_model(path) as model:
        assert model.seal is not None
        assert model.seal.statement.extensions == {}
    assert not set(predicate_of(path)) - {
        *("container", "algorithm", "size", "chunk_size", "files", "model", "created"),
        *("expires", "provenance", "regions"),
    }


def test_input_contract_over_its_limit_is_neither_written_nor_read(path: Path) -> None:
    most = "x" * (LIMITS.inputs - 2)
    reworded(path, inputs=most)
    kih.verify(path)
    with pytest.raises(kih.LimitExceededError, match="input contract"):
        reworded(path, inputs=most + "x")
    with open_model(path) as model:
        assert model.seal is not None
        payload = model.seal.envelope.payload
    with pytest.raises(kih.LimitExceededError, match="input contract"):
        statement.decode(payload.replace(most.encode(), most.encode() + b"x"))


def test_extension_cannot_take_the_name_of_a_field() -> None:
    said = Statement(
        *("m.keras", "00" * 32, "keras-zip", "sha256"), size=1, chunk_size=1 << 20, created="x"
    )
    with pytest.raises(kih.MalformedSealError, match="name of a field"):
        statement.encode(replace(said, extensions={"size": 2}))
