# SPDX-License-Identifier: Apache-2.0
"""Detached signatures on the command line, and through Keras."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    MalformedBundleError,
    NotSignedError,
)
from tests.detached import bundles
from tests.detached.bundles import Chain, Key
from tests.detached.helpers import NAMES, SETS, attested, signed, spoil
from tests.support import model_kinds
from tests.support.processes import cli, document, environment

pytest.importorskip("model_signing", reason="the tool that these signatures are of")


def run(*arguments: Any) -> Any:
    extra = {name: os.environ[name] for name in ("KERAS_INTEGRITY_TRUST", "XDG_CONFIG_HOME")}
    return cli("bundle", *map(str, arguments), env=environment(**extra))


def test_the_command_line_signs_and_verifies(
    copy_of: Callable[..., Path], key: Key, chain: Chain
) -> None:
    path = copy_of("directory")

    done = run("sign", path, "--key", key.private, "--json")
    assert document(done)["files"] == 4
    assert "PRIVATE" not in done.stdout + done.stderr
    found = document(run("verify", path, "--json"))
    assert found["signer"] == {"names": ["alice"], "keyid": key.public.keyid}
    assert "alice" in run("verify", path).stdout
    assert run("verify", path, "--public-key", key.public_file).returncode == 0
    assert run("verify", path, "--certificates", chain.root).returncode == 1

    spoil(path / "config.json")
    refused = run("verify", path, "--json")
    assert document(refused)["error"]["evidence"]["parts"] == ["config.json"]
    assert refused.returncode == 1


def test_the_command_line_signs_with_certificates(
    copy_of: Callable[..., Path], chain: Chain, tmp_path: Path
) -> None:
    path, where = copy_of("model.keras"), tmp_path / "elsewhere.sig"

    options = ("--key", chain.key.private, "--certificates", chain.both, "--output", where)
    assert run("sign", path, *options).returncode == 0
    bundles.theirs_verifies(path, where, chain)
    assert run("verify", path, "--bundle", where).returncode == 0
    assert run("verify", path, "--bundle", where, "--certificates", chain.root).returncode == 0
    assert run("verify", path).returncode == 1  # there is none beside it
    both = ("--certificates", chain.root, "--public-key", chain.root)
    assert run("verify", path, *both).returncode == 2


def test_trust_list_shows_who_else_counts(chain: Chain, trusted: Callable[..., None]) -> None:
    identity = '[[sigstore]]\nname = "flow"\nidentity = "a"\nissuer = "b"\ntrusted_root = "/r"\n'
    trusted(chain.entry(not_after="2020-01-01"), identity)
    extra = {name: os.environ[name] for name in ("KERAS_INTEGRITY_TRUST", "XDG_CONFIG_HOME")}

    listed = document(cli("trust", "list", "--json", env=environment(**extra)))

    assert [(one["name"], one["state"]) for one in listed["others"]] == [
        ("team", "expired"),
        ("flow", "valid"),
    ]
    assert "flow" in cli("trust", "list", env=environment(**extra)).stdout


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ('[[certificates]]\nname = "team"\n', "lacks 'pem'"),
        ('[[certificates]]\nname = "t"\npem = "x"\nidentty = "a"\n', "'identity'"),
        ('[[certificates]]\nname = "t"\npem = "x"\n', "not certificates in PEM"),
        (
            '[[sigstore]]\nname = "t"\nidentity = "a"\nissuer = "b"\ntrusted_root = "r.json"\n',
            "absolute",
        ),
    ],
)
def test_mistake_in_who_is_trusted_refuses_and_is_named(
    entry: str, why: str, copy_of: Callable[..., Path], chain: Chain, trusted: Callable[..., None]
) -> None:
    path = copy_of("model.keras")
    bundles.theirs_signs(path, path.with_name("model.keras.sig"), chain)
    trusted(entry)

    with pytest.raises(ConfigurationError, match=why):
        attested(path)


def test_one_name_cannot_stand_for_a_key_and_for_certificates(
    copy_of: Callable[..., Path], key: Key, chain: Chain, trusted: Callable[..., None]
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    trusted(key.entry("same"), chain.entry("same"))

    with pytest.raises(ConfigurationError, match="are named 'same'"):
        attested(path)


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_a_detached_signature_satisfies_a_policy_that_requires_one(
    name: str,
    sealed: bool,
    keras: Any,
    copy_of: Callable[..., Path],
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = copy_of(name, sealed=sealed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    with pytest.raises(IntegrityError):
        model_kinds.load(model, path)
    where = signed(path, key)

    model_kinds.load(model, path)

    member = path / SETS[name] if name in SETS else path
    genuine = member.read_bytes()
    member.write_bytes(genuine + b" ")
    with pytest.raises(IntegrityError):
        model_kinds.load(model, path)
    member.write_bytes(genuine)
    where.write_bytes(b"{}")
    with pytest.raises(MalformedBundleError):
        model_kinds.load(model, path)


def test_a_signature_of_somebody_else_does_not_satisfy_a_policy_that_names_signers(
    keras: Any, copy_of: Callable[..., Path], key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    monkeypatch.setenv("KERAS_INTEGRITY_REQUIRE", "signed")
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "alice")
    keras.models.load_model(path)
    monkeypatch.setenv("KERAS_INTEGRITY_SIGNERS", "bob")
    with pytest.raises(NotSignedError):
        keras.models.load_model(path)


def test_a_bundle_that_nobody_requires_is_not_looked_at(
    keras: Any, copy_of: Callable[..., Path]
) -> None:
    path = copy_of("model.keras")
    path.with_name("model.keras.sig").write_bytes(b"garbage")

    assert keras.models.load_model(path).count_params() == 15
