# SPDX-License-Identifier: Apache-2.0
"""Signatures of sigstore's, checked offline by its package against an instance of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook
from keras_integrity_hook.detached import bundle
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    ConfigurationError,
    InsecurePermissionsError,
    MalformedBundleError,
    NotSignedError,
)
from tests.detached.bundles import Key
from tests.detached.helpers import attested, signed
from tests.detached.sigstore_instance import Instance
from tests.support.processes import environment

pytest.importorskip("sigstore", reason="what checks these signatures")

WHO, ISSUER = "release@example.com", "https://accounts.example.com"


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return Instance(tmp_path)


def entry(instance: Instance, **other: str) -> str:
    fields = {"trusted_root": str(instance.root), "identity": WHO, "issuer": ISSUER, **other}
    lines = "".join(f'{name} = "{value}"\n' for name, value in fields.items())
    return f'[[sigstore]]\nname = "release"\n{lines}'


@pytest.fixture
def model(
    instance: Instance, copy_of: Callable[..., Path], key: Key, trusted: Callable[..., None]
) -> Path:
    """A model that ``WHO`` signed, which is trusted."""
    path = copy_of("model.keras")
    where = signed(path, key)
    payload = bundle.decode(where.read_bytes()).payload
    where.write_text(json.dumps(instance.sign(payload, WHO, ISSUER)))
    trusted(entry(instance))
    return path


def change(model: Path, edit: Callable[[Any], None]) -> None:
    where = model.with_name("model.keras.sig")
    value = json.loads(where.read_text())
    edit(value)
    where.write_text(json.dumps(value))


def test_trusted_identity_is_accepted(model: Path) -> None:
    assert attested(model).signers[0].name == "release"


def test_changed_model_is_refused(model: Path) -> None:
    keras_integrity_hook.unseal(model)
    with pytest.raises(ChecksumMismatchError, match="changed: the file"):
        attested(model)


@pytest.mark.parametrize(
    "other", [{"identity": "someone@example.com"}, {"issuer": "https://evil.example.com"}]
)
def test_other_identity_or_issuer_is_refused(
    other: dict[str, str], model: Path, instance: Instance, trusted: Callable[..., None]
) -> None:
    trusted(entry(instance, **other))
    with pytest.raises(NotSignedError, match="nobody trusted signed it"):
        attested(model)


def test_identity_of_another_instance_is_refused(
    model: Path, tmp_path: Path, trusted: Callable[..., None]
) -> None:
    (tmp_path / "other").mkdir()
    trusted(entry(Instance(tmp_path / "other")))
    with pytest.raises(NotSignedError):
        attested(model)


def test_identity_that_nobody_trusts_is_refused(model: Path, trusted: Callable[..., None]) -> None:
    trusted()
    with pytest.raises(NotSignedError, match="no identity"):
        attested(model)


def _entry(value: Any) -> Any:
    return value["verificationMaterial"]["tlogEntries"][0]


@pytest.mark.parametrize(
    "edit",
    [
        lambda value: value["verificationMaterial"].update(tlogEntries=[]),
        lambda value: _entry(value).pop("inclusionProof"),
        lambda value: _entry(value).update(integratedTime="1600000000"),
        lambda value: _entry(value)["inclusionProof"].update(rootHash="AAAA"),
        lambda value: _entry(value)["inclusionPromise"].update(signedEntryTimestamp="AAAA"),
        lambda value: value["dsseEnvelope"].update(payload="e30="),
        lambda value: value["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
        lambda value: value["verificationMaterial"]["certificate"].update(rawBytes="AAAA"),
    ],
    ids=["log", "proof", "time", "root", "promise", "payload", "signature", "certificate"],
)
def test_material_that_does_not_hold_together_is_refused(
    edit: Callable[[Any], None], model: Path
) -> None:
    change(model, edit)
    with pytest.raises((NotSignedError, MalformedBundleError)):
        attested(model)


def test_missing_or_broken_trusted_root_is_a_mistake_that_refuses(
    model: Path, instance: Instance
) -> None:
    instance.root.write_text("{}")
    with pytest.raises(ConfigurationError, match="not a trusted root"):
        attested(model)
    instance.root.unlink()
    with pytest.raises(ConfigurationError, match="is missing"):
        attested(model)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permission bits")
def test_trusted_root_that_others_may_write_is_refused(model: Path, instance: Instance) -> None:
    instance.root.chmod(0o666)
    with pytest.raises(InsecurePermissionsError):
        attested(model)


def test_without_the_extra_the_refusal_says_what_to_install(model: Path) -> None:
    names = ("KERAS_INTEGRITY_TRUST", "XDG_CONFIG_HOME")
    script = (
        "import sys; sys.modules['sigstore'] = None; sys.modules['sigstore.models'] = None\n"
        "from keras_integrity_hook.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "bundle", "verify", str(model)],
        env=environment(**{name: os.environ[name] for name in names}),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "pip install 'sigstore>=4'" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_sigstore_is_imported_for_other_signatures(
    copy_of: Callable[..., Path], key: Key
) -> None:
    path = copy_of("model.keras")
    signed(path, key)
    names = ("KERAS_INTEGRITY_TRUST", "XDG_CONFIG_HOME")
    script = (
        "import sys\nfrom keras_integrity_hook.cli import main\n"
        "try:\n    main()\nfinally:\n    assert 'sigstore' not in sys.modules\n"
        "    assert 'model_signing' not in sys.modules\n    assert 'keras' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "bundle", "verify", str(path)],
        env=environment(**{name: os.environ[name] for name in names}),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
