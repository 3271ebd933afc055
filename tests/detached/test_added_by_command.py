# SPDX-License-Identifier: Apache-2.0
"""``trust add`` of certificates and of identities of sigstore's: what it writes is what counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_integrity_hook.detached import bundle, sign
from keras_integrity_hook.errors import NotSignedError
from keras_integrity_hook.signing import trust_store
from tests.detached.bundles import Chain, Key
from tests.detached.helpers import attested, signed
from tests.detached.sigstore_instance import Instance
from tests.support.processes import cli, document


@pytest.fixture
def trust_file(trusted: Callable[..., None], tmp_path: Path) -> Path:
    """An empty trust file, which is the project's."""
    trusted()
    return tmp_path / "trust.toml"


def test_certificates_are_trusted_and_no_longer(
    trust_file: Path, chain: Chain, copy_of: Callable[..., Path]
) -> None:
    model = copy_of("model.keras")
    sign.sign(str(model), str(chain.key.private), chain=chain.both.read_bytes())
    with pytest.raises(NotSignedError):
        attested(model)
    done = cli("trust", "add", "team", chain.root, "--file", trust_file)
    assert done.returncode == 0, done.stderr
    assert attested(model).signers[0].name == "team"
    assert "team" in cli("trust", "list").stdout
    removed = document(cli("trust", "remove", "team", "--file", trust_file, "--json"))
    assert removed["other"]["name"] == "team"
    with pytest.raises(NotSignedError):
        attested(model)


def test_certificates_count_for_the_identity_that_was_named(
    trust_file: Path, chain: Chain, copy_of: Callable[..., Path]
) -> None:
    model = copy_of("model.keras")
    sign.sign(str(model), str(chain.key.private), chain=chain.both.read_bytes())
    words = ("trust", "add", "team", chain.root, "--file", trust_file)
    assert cli(*words, "--identity", "nobody@example.com").returncode == 0
    with pytest.raises(NotSignedError):
        attested(model)


def test_a_private_key_beside_certificates_is_not_copied(
    trust_file: Path, chain: Chain, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(Path(chain.key.private).read_bytes() + Path(chain.root).read_bytes())
    assert cli("trust", "add", "team", both, "--file", trust_file).returncode == 0
    assert "PRIVATE" not in trust_file.read_text()
    assert trust_store.store().certificates[0].pem.startswith("-----BEGIN CERTIFICATE-----")


def test_an_identity_of_sigstores_is_trusted(
    trust_file: Path, key: Key, copy_of: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("sigstore", reason="what checks these signatures")
    instance, model = Instance(tmp_path), copy_of("model.keras")
    where = signed(model, key)
    payload = bundle.decode(where.read_bytes()).payload
    where.write_text(json.dumps(instance.sign(payload, "ann@example.com", "https://login.example")))
    who = ("--identity", "ann@example.com", "--issuer", "https://login.example")
    words = ("trust", "add", "ann", instance.root, "--file", trust_file)
    added = document(cli(*words, *who, "--json"))["other"]
    assert (added["issuer"], added["trusted_root"]) == ("https://login.example", str(instance.root))
    assert attested(model).signers[0].name == "ann"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--scheme", "ed25519"), "--scheme is not for certificates"),
        (("--issuer", "https://login.example"), "--issuer is not for certificates"),
        (("--vetter",), "--vetter is not for certificates"),
    ],
)
def test_options_that_would_say_nothing_of_certificates_are_refused(
    trust_file: Path, chain: Chain, options: tuple[str, ...], said: str
) -> None:
    done = cli("trust", "add", "team", chain.root, "--file", trust_file, *options)
    assert (done.returncode, trust_file.read_text()) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "options", "status", "said"),
    [
        ("{}", (), 2, "--identity and --issuer say whom you mean"),
        ("{}", ("--identity", "a", "--issuer", "b"), 1, "not a trusted root of sigstore's"),
        ("{" * 5000, ("--identity", "a", "--issuer", "b"), 1, "not a trusted root"),
        ("-----BEGIN CERTIFICATE-----\nx\n", (), 1, "not certificates in PEM form"),
    ],
)
def test_what_is_neither_key_nor_certificates_nor_a_trusted_root_is_refused(
    trust_file: Path, tmp_path: Path, text: str, options: tuple[str, ...], status: int, said: str
) -> None:
    public = tmp_path / "public"
    public.write_text(text)
    done = cli("trust", "add", "team", public, "--file", trust_file, *options)
    assert (done.returncode, trust_file.read_text()) == (status, "")
    assert said in done.stderr


def test_a_key_takes_no_identity(trust_file: Path, key: Key) -> None:
    done = cli(
        "trust", "add", "k", key.public_file, "--file", trust_file, "--identity", "ann@x.com"
    )
    assert done.returncode == 2
    assert "--identity is not for a key" in done.stderr


def test_a_name_of_certificates_is_not_given_twice(trust_file: Path, chain: Chain) -> None:
    words = ("trust", "add", "team", chain.root, "--file", trust_file)
    assert cli(*words).returncode == 0
    assert "one named 'team' already" in cli(*words).stderr
