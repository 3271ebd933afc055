# SPDX-License-Identifier: Apache-2.0
"""The attacks that SECURITY.md lists which leave the model alone and change what is around it.

As in ``test_threats.py`` the genuine model loads under the policy that refuses the attack.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

import keras_integrity_hook as kih
from keras_integrity_hook.errors import printable
from keras_integrity_hook.sealing import statement
from keras_integrity_hook.sealing.envelope import Envelope
from keras_integrity_hook.signing import trust_edit
from tests.support import attacks
from tests.support import machine as another_machine
from tests.support.attacks import EVIL, GOOD, SIGNED, Publisher, load, refused, value_of
from tests.support.downloads import Site, serving
from tests.support.processes import environment
from tests.support.signers import make_key, trusted

pytestmark = [pytest.mark.usefixtures("keras"), pytest.mark.filterwarnings("ignore")]


# Files that others can write


@pytest.mark.parametrize(
    "what", ["the model", "its directory", "a directory above", "the sidecar", "the policy"]
)
def test_file_that_others_can_write_is_refused(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
) -> None:
    signed_policy.write_text(f'{SIGNED}permissions = "strict"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_STORE", "sidecar")
    path = publisher.publish(models / "fraud" / "model.keras")
    found = {
        "the model": path,
        "its directory": path.parent,
        "a directory above": models,
        "the sidecar": Path(f"{path}.seal"),
        "the policy": signed_policy,
    }[what]
    for one in (path, path.parent, models, Path(f"{path}.seal"), signed_policy):
        one.chmod(0o755)
    load(path)
    found.chmod(0o775)
    error = refused(kih.InsecurePermissionsError, path)
    assert isinstance(error, kih.InsecurePermissionsError)
    assert error.found == str(found)
    found.chmod(0o755)
    load(path)


@pytest.mark.parametrize("what", ["trust.toml", "policy.toml"])
def test_policy_or_trust_file_that_everybody_can_write_lets_nothing_be_loaded(
    publisher: Publisher, signed_policy: Path, models: Path, home: Path, what: str
) -> None:
    (home / "policy.toml").write_text("")
    (home / "policy.toml").chmod(0o644)
    path = publisher.publish(models / "model.keras")
    load(path)
    (home / what).chmod(0o666)
    error = refused(kih.InsecurePermissionsError, path)
    assert isinstance(error, kih.InsecurePermissionsError)
    assert error.found == str(home / what)


# Downloads


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A web server with TLS whose authority this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setattr(urllib.request, "_opener", None)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(Site(context)) as site:
        yield site


@pytest.mark.parametrize("how", ["over plain http", "without a hash", "redirected to plain http"])
def test_download_that_anybody_on_the_way_can_change_is_refused(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    tmp_path: Path,
    secure: Site,
    keras: Any,
    how: str,
) -> None:
    signed_policy.write_text(f'{SIGNED}downloads = "hashed"\n')
    content = publisher.publish(models / "model.keras").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    secure.pages["/model.keras"] = content

    def fetch(url: str, file_hash: str | None = None) -> Path:
        cache = tempfile.mkdtemp(dir=tmp_path)
        found = keras.utils.get_file("model.keras", url, file_hash=file_hash, cache_dir=cache)
        return Path(found)

    assert value_of(fetch(secure.url("/model.keras"), digest)) == GOOD
    with serving(Site()) as plain:
        plain.pages["/model.keras"] = content
        secure.moved["/moved.keras"] = plain.url("/model.keras")
        url, known = {
            "over plain http": (plain.url("/model.keras"), digest),
            "without a hash": (secure.url("/model.keras"), None),
            "redirected to plain http": (secure.url("/moved.keras"), digest),
        }[how]
        with pytest.raises(kih.InsecureDownloadError):
            fetch(url, known)
    assert plain.connections == 0


# Opting out by environment in a fleet that enforces


MACHINE = """
allow_opt_out = false
lock = ["loads"]
require = "signed"
allow_override = false
"""

LOADS = """
import json, sys, warnings
import keras_integrity_hook as kih
from keras_integrity_hook.activation import finder
finder.arm()
import keras
warnings.simplefilter("ignore")

def outcome(path):
    try:
        return float(keras.models.load_model(path).get_weights()[0][0, 0])
    except kih.IntegrityError as error:
        return type(error).__name__

found = {name: outcome(path) for name, path in json.loads(sys.argv[1]).items()}
digest = sys.argv[2]
with kih.override(root=digest, reason="I am in a hurry"):
    found["overridden"] = outcome(json.loads(sys.argv[1])["unsigned"])
print(json.dumps(found))
"""


@pytest.mark.parametrize("mode", ["off", "warn"])
def test_opt_out_by_environment_in_an_enforced_fleet_is_refused(
    publisher: Publisher, home: Path, models: Path, tmp_path: Path, mode: str
) -> None:
    """With all that a user can set, in files and variables, against what root has locked."""
    shared = publisher.publish(models / "genuine.keras")
    unsigned = publisher.save(models / "unsigned.keras", EVIL)
    unsealed = publisher.save(models / "unsealed.keras", EVIL)
    kih.unseal(unsealed)
    users_own = publisher.save(models / "own.keras", EVIL)
    own = make_key(tmp_path / "own", "ecdsa")
    kih.sign(users_own, key=str(tmp_path / "own"))
    damaged = publisher.publish(models / "damaged.keras")
    attacks.edit(damaged)
    (models / "link.keras").symlink_to(unsigned)

    (home / "trust.toml").unlink()
    trust_edit.add_key(str(tmp_path / "machine.toml"), trusted("release", publisher.public))
    trust_edit.add_key(str(home / "trust.toml"), trusted("own", own))
    (home / "policy.toml").write_text(
        'mode = "off"\nrequire = "nothing"\nallow_override = true\n'
        f'[[rules]]\npath = "{models}/**"\nrequire = "nothing"\nthreshold = 1\nsigners = ["own"]\n'
    )
    (home / "policy.toml").chmod(0o644)
    etc = another_machine.make_etc(
        tmp_path,
        {"policy.toml": MACHINE, "trust.toml": (tmp_path / "machine.toml").read_text()},
    )
    paths = {path.stem: str(path) for path in models.iterdir()}
    assert set(paths) == {"genuine", "unsigned", "unsealed", "own", "damaged", "link"}
    digest = kih.inspect(unsigned, digest=True).digest
    assert digest is not None
    done = another_machine.run(
        [sys.executable, "-c", LOADS, json.dumps(paths), digest],
        etc,
        environment={
            **environment(),
            "KERAS_INTEGRITY": mode,
            "KERAS_INTEGRITY_REQUIRE": "nothing",
            "KERAS_INTEGRITY_UNSEALED": "warn",
            "KERAS_INTEGRITY_TRUST": str(home / "trust.toml"),
            "XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"],
        },
    )
    assert done.returncode == 0, done.stderr
    assert shared.exists()
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "genuine": GOOD,
        "unsigned": "NotSignedError",
        "unsealed": "UnsealedModelError",
        "own": "NotSignedError",
        "damaged": "ChecksumMismatchError",
        "link": "NotSignedError",
        "overridden": "OverrideRefusedError",
    }


@pytest.mark.parametrize("how", ["as it should be", "link", "linked directory", "writable", "mine"])
def test_machine_policy_that_somebody_else_could_have_put_there_lets_nothing_be_loaded(
    home: Path, tmp_path: Path, how: str
) -> None:
    etc = another_machine.make_etc(tmp_path, {"policy.toml": MACHINE})
    folder = etc / "keras-integrity"
    policy = folder / "policy.toml"
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "policy.toml").write_text('mode = "warn"\n')
    if how == "link":
        policy.unlink()
        policy.symlink_to(mine / "policy.toml")
    elif how == "linked directory":
        folder.rename(etc / "keras-integrity.real")
        folder.symlink_to(mine)
    elif how == "writable":
        policy.chmod(0o666)
    elif how == "mine":
        os.chown(policy, 65534, 65534)
    script = (
        "from keras_integrity_hook.activation import finder; finder.arm()\n"
        "import keras.src.version; print('imported')"
    )
    done = another_machine.run(
        [sys.executable, "-c", script], etc, environment={**environment(), "KERAS_INTEGRITY": "off"}
    )
    if how == "as it should be":
        assert done.stdout.endswith("imported\n"), done.stderr
        return
    assert done.returncode == 1
    assert "imported" not in done.stdout
    assert "InsecurePermissionsError" in done.stderr or "ConfigurationError" in done.stderr


# Log injection, secrets in errors


FORGED = '\n{"schema":1,"event":"load","outcome":"ok"}\r\x1b[2K\u202e'


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "logs" / "audit.jsonl"
    path.parent.mkdir()
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(path))
    return path


def forged_statement(path: Path, **model: str) -> None:
    """Give the model at ``path`` a seal that says this of it, as an attacker would write one."""
    seal = attacks.seal_of(path)
    said = replace(seal.statement, model={**seal.statement.model, **model})
    attacks.put_seal(path, Envelope(statement.encode(said)), seal.table)


def by_file_name(path: Path) -> Path:
    target = path.with_name(f"m{FORGED.replace('/', '')}.keras")
    return path.rename(target)


def by_model_name(path: Path) -> Path:
    forged_statement(path, name=f"fraud{FORGED}")
    return path


def by_version(path: Path) -> Path:
    forged_statement(path, version=f"2.0{FORGED}")
    return path


@pytest.mark.parametrize(
    ("inject", "demand", "kind"),
    [
        (by_file_name, 'require = "signed"', kih.NotSignedError),
        # What is compared with a policy holds no control characters at all.
        (by_model_name, 'model = "fraud"', kih.MalformedSealError),
        (by_version, 'minimum_version = "1.0"', kih.MalformedSealError),
    ],
)
def test_log_injection_forges_no_line_and_no_message(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    log: Path,
    caplog: pytest.LogCaptureFixture,
    inject: Callable[[Path], Path],
    demand: str,
    kind: type[kih.IntegrityError],
) -> None:
    signed_policy.write_text(demand)
    path = publisher.publish(models / "genuine.keras")
    load(path)
    evil = inject(publisher.save(models / "model.keras", EVIL))
    log.unlink()
    with caplog.at_level(logging.INFO, "keras_integrity_hook"):
        error = refused(kind, evil)
    text = log.read_text()
    assert text.count("\n") == 1
    assert json.loads(text)["outcome"] == "refused"
    assert text[:-1].isprintable()
    first, *others = str(error).split("\n")
    assert first.isprintable()
    assert all(line.isprintable() and line.startswith("    ") for line in others)
    assert caplog.records
    assert all(record.getMessage().isprintable() for record in caplog.records)
    is_shown = printable(FORGED.replace("/", ""))[:20] in str(error)
    assert is_shown is (inject is by_file_name)


def test_log_injection_by_a_reason_is_refused(
    publisher: Publisher, signed_policy: Path, models: Path, log: Path
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    digest = kih.inspect(path, digest=True).digest
    assert digest is not None
    with pytest.raises(kih.OverrideRefusedError), kih.override(root=digest, reason=f"ok{FORGED}"):
        pass
    with pytest.raises(kih.ConfigurationError):
        kih.reseal(path, reason=f"ok{FORGED}")
    assert all(line.isprintable() for line in log.read_text().splitlines())
    load(path)


@pytest.mark.parametrize("how", ["wrong passphrase", "key in place of its path", "readable by all"])
def test_secrets_are_in_no_message_and_no_log(
    publisher: Publisher,
    signed_policy: Path,
    models: Path,
    tmp_path: Path,
    log: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    secret = "correct-horse-battery-staple"
    key = tmp_path / "secret.key"
    make_key(key, passphrase=secret)
    pem = key.read_text()
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", str(key))
    monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE", secret)
    path = publisher.save(models / "model.keras")
    if how == "wrong passphrase":
        secret += "?"
        monkeypatch.setenv("KERAS_INTEGRITY_KEY_PASSPHRASE", secret)
    elif how == "readable by all":
        key.chmod(0o644)
    else:
        monkeypatch.setenv("KERAS_INTEGRITY_KEY", pem)
    # Nothing is loaded either under settings that have a mistake.
    attempt = load if how == "key in place of its path" else publisher.save
    caplog.set_level(logging.DEBUG)
    with pytest.raises((kih.SigningError, kih.ConfigurationError)) as caught:
        attempt(path)
    told = [str(caught.value), repr(caught.value), json.dumps(caught.value.to_dict())]
    told += [caplog.text, log.read_text()]
    for text in told:
        assert secret not in text
        assert pem.splitlines()[1] not in text


# The hook is silently not there


NOT_ACTIVE = """
import sys
sys.path[:0] = sys.argv[2].split(":")
import keras
print(float(keras.models.load_model(sys.argv[1]).get_weights()[0][0, 0]))
import keras_integrity_hook as kih
try:
    kih.assert_active()
except kih.NotActiveError:
    print("not active")
kih.activate()
kih.assert_active()
try:
    keras.models.load_model(sys.argv[1])
except kih.ChecksumMismatchError:
    print("refused")
"""


def test_hook_that_is_not_active_is_noticed_by_a_program_that_asks(
    publisher: Publisher, models: Path
) -> None:
    path = publisher.publish(models / "model.keras")
    load(path)
    attacks.edit(path)
    refused(kih.ChecksumMismatchError, path)
    attacks.repair_crc(path)
    where = os.pathsep.join(entry for entry in [environment()["PYTHONPATH"], *sys.path] if entry)
    done = subprocess.run(
        [sys.executable, "-S", "-c", NOT_ACTIVE, str(path), where],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-4:-1] == [str(EVIL), "not active", "refused"]


# What goes on after a refusal


def test_fallback_that_is_tampered_with_is_refused_too(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    fallback = publisher.publish(models / "fallback.keras", 2.0)
    signed_policy.write_text(f'{SIGNED}on_failure = "fallback"\nfallback = "{fallback}"\n')
    path = publisher.save(models / "model.keras", EVIL)
    with pytest.warns(kih.FallbackWarning):
        assert value_of(path) == 2.0
    for tamper in (attacks.edit, kih.unseal):
        publisher.publish(fallback)
        tamper(fallback)
        error = refused(kih.NotSignedError, path)
        assert any("fallback" in note for note in error.__notes__)
    publisher.save(fallback, EVIL)
    refused(kih.NotSignedError, path)


def test_override_of_another_digest_lets_nothing_through(
    publisher: Publisher, signed_policy: Path, models: Path
) -> None:
    path = publisher.save(models / "model.keras", 2.0)
    digest = kih.inspect(path, digest=True).digest
    assert digest is not None
    with kih.override(root=digest, reason="INC-42: checked by hand"):
        with pytest.warns(kih.OverrideWarning):
            assert value_of(path) == 2.0
        publisher.save(path, EVIL)
        refused(kih.NotSignedError, path)
