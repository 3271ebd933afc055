# SPDX-License-Identifier: Apache-2.0
"""keygen, sign, trust and revoke as commands, each in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.models import write_model

CLI = [sys.executable, "-m", "keras_integrity_hook.cli"]
SOFTHSM = next(
    (
        path
        for path in (
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/pkcs11/libsofthsm2.so",
            "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        )
        if os.path.exists(path)
    ),
    "",
)

pytestmark = pytest.mark.usefixtures("home")


def cli(*arguments: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*CLI, *map(str, arguments)],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def document(*arguments: object, code: int = 0) -> dict[str, Any]:
    parsed = json.loads(cli(*arguments, "--json", code=code).stdout)
    assert isinstance(parsed, dict)
    assert parsed["schema"] == 1
    assert parsed["ok"] is (code == 0)
    return parsed


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("model.keras", "model.weights.h5"):
        kih.seal(write_model(folder, name))
    return folder


def test_from_a_new_key_to_a_trusted_model_and_back(tmp_path: Path, sealed: Path) -> None:
    key = tmp_path / "key"
    made = cli("keygen", key, "--no-passphrase")
    assert "PRIVATE" not in made.stdout + made.stderr
    assert cli("trust", "list").stdout.startswith("No key is trusted")
    cli("trust", "add", "alice", f"{key}.pub", "--comment", "on the laptop")
    signed = cli("sign", sealed, "--key", key).stdout
    assert signed.count("trusted here  alice") == 2
    assert cli("verify", sealed).stdout.count("Signed by alice.") == 2
    inspected = cli("inspect", sealed / "model.keras").stdout
    assert "assurance   signed" in inspected
    assert "trusted     alice" in inspected
    assert "valid           alice" in cli("trust", "list").stdout
    cli("revoke", "key", "alice", "--reason", "laptop lost")
    assert "Signed by" not in cli("verify", sealed).stdout
    assert "laptop lost" in cli("trust", "list").stdout
    assert "It was so already" in cli("revoke", "key", "alice", "--reason", "again").stdout
    cli("trust", "remove", "alice")
    assert "nobody who is trusted is named" in cli("trust", "remove", "alice", code=1).stderr


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_every_command_has_json(tmp_path: Path, sealed: Path, kind: str) -> None:
    key = tmp_path / "key"
    made = document("keygen", key, "--no-passphrase", "--type", kind)
    assert made["private"] == str(key)
    assert made["public"] == f"{key}.pub"
    added = document("trust", "add", "alice", f"{key}.pub", "--not-after", "2100-01-31")
    assert added["key"]["keyid"] == made["keyid"]
    (signed,) = document("sign", sealed / "model.keras", "--key", key)["results"]
    assert signed["state"] == "signed"
    assert signed["report"]["signers"] == ["alice"]
    (listed,) = document("trust", "list")["keys"]
    assert listed["state"] == "valid"
    assert listed["not_after"].startswith("2100-01-31T23:59:59")
    revoked = document("revoke", "model", sealed / "model.keras", "--reason", "bad")
    assert revoked["changed"] is True
    assert revoked["target"] == signed["report"]["seal"]["root"]
    assert document("trust", "list")["revoked_models"][0]["reason"] == "bad"
    assert document("trust", "remove", "alice")["key"]["name"] == "alice"
    error = document("trust", "remove", "alice", code=1)["error"]
    assert error["code"] == "signing-failed"
    assert document("keygen", key, "--no-passphrase", code=1)["error"]["code"] == "signing-failed"


def test_vetter_is_listed_as_one_and_removed_by_name(tmp_path: Path) -> None:
    cli("keygen", tmp_path / "lab", "--no-passphrase")
    assert document("trust", "add", "lab", tmp_path / "lab.pub", "--vetter")["vetter"] is True
    listed = document("trust", "list")
    assert listed["keys"] == []
    assert [one["name"] for one in listed["vetters"]] == ["lab"]
    assert "as a vetter" in cli("trust", "list").stdout
    # The same key may sign, too; another may not take the name.
    cli("trust", "add", "lab", tmp_path / "lab.pub")
    cli("keygen", tmp_path / "other", "--no-passphrase")
    cli("trust", "add", "lab", tmp_path / "other.pub", "--vetter", code=1)
    cli("trust", "remove", "lab")
    listed = document("trust", "list")
    assert listed["keys"] == listed["vetters"] == []


def test_an_expired_key_is_listed_as_such(tmp_path: Path) -> None:
    cli("keygen", tmp_path / "key", "--no-passphrase")
    cli("trust", "add", "old", tmp_path / "key.pub", "--not-after", "2020-01-01")
    assert document("trust", "list")["keys"][0]["state"] == "expired"


def test_a_date_without_a_time_zone_is_a_wrong_command_line(tmp_path: Path) -> None:
    cli("keygen", tmp_path / "key", "--no-passphrase")
    words = ["trust", "add", "old", tmp_path / "key.pub", "--not-after", "2027-01-31T12:00:00"]
    assert "time zone" in cli(*words, code=2).stderr


@pytest.mark.parametrize("what", ["missing", "private", "text"])
def test_what_is_no_public_key_is_not_trusted(tmp_path: Path, what: str) -> None:
    cli("keygen", tmp_path / "key", "--no-passphrase")
    path = tmp_path / "key"
    if what == "missing":
        path = tmp_path / "missing"
    elif what == "text":
        path.write_text("hello")
    done = cli("trust", "add", "alice", path, code=1)
    if what == "private":
        assert path.read_text().split()[4] not in done.stdout + done.stderr
    assert cli("trust", "list").stdout.startswith("No key is trusted")


def test_a_readable_key_a_wrong_passphrase_and_no_key_are_refused(
    tmp_path: Path, sealed: Path
) -> None:
    key = tmp_path / "key"
    cli("keygen", key, KERAS_INTEGRITY_KEY_PASSPHRASE="correct horse")
    assert "ENCRYPTED" in key.read_text()
    before = (sealed / "model.keras").read_bytes()
    wrong = cli("sign", sealed, "--key", key, code=1, KERAS_INTEGRITY_KEY_PASSPHRASE="battery")
    assert "passphrase is wrong" in wrong.stdout
    assert "battery" not in wrong.stdout + wrong.stderr
    assert "is needed" in cli("sign", sealed, "--key", key, code=1).stdout
    assert "no key is given" in cli("sign", sealed, code=1).stdout
    key.chmod(0o644)
    words: dict[str, Any] = {"KERAS_INTEGRITY_KEY_PASSPHRASE": "correct horse"}
    assert "mode 0644" in cli("sign", sealed, "--key", key, code=1, **words).stdout
    assert (sealed / "model.keras").read_bytes() == before
    key.chmod(0o600)
    cli("sign", sealed, KERAS_INTEGRITY_KEY=str(key), **words)


def test_a_key_is_not_made_without_a_passphrase_unless_told_so(tmp_path: Path) -> None:
    assert "no terminal" in cli("keygen", tmp_path / "key", code=1).stderr
    assert os.listdir(tmp_path) == []


def test_a_passphrase_is_asked_for_once_and_never_seen(tmp_path: Path, sealed: Path) -> None:
    key = tmp_path / "key"
    shown, lines = on_a_terminal(["keygen", str(key)], ["correct horse", "correct horse"])
    assert "key id" in shown
    assert "ENCRYPTED" in key.read_text()
    signed, more = on_a_terminal(["sign", str(sealed), "--key", str(key)], ["correct horse"])
    assert signed.count("signed ") >= 2
    assert signed.lower().count("passphrase of") == 1
    for text in (shown, signed, *lines, *more):
        assert "correct horse" not in text


def on_a_terminal(words: list[str], answers: list[str]) -> tuple[str, list[str]]:
    """What a command shows on a terminal, and its command lines as ps would show them."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(CLI[0], [*CLI, *words])
    shown, lines, asked = "", [], 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 4096).decode()
        except OSError:  # the end, on Linux
            break
        # The space comes last, once the terminal shows nothing and what was typed before is gone.
        if asked < len(answers) and shown.endswith(": "):
            lines.append(Path(f"/proc/{child}/cmdline").read_text())
            os.write(terminal, answers[asked].encode() + b"\n")
            asked, shown = asked + 1, shown + "\n"
    os.close(terminal)  # hangs up on a child that still waits
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, shown
    assert asked == len(answers), shown
    return shown, lines


def test_a_model_is_revoked_by_its_root_and_one_without_a_seal_cannot_be(
    tmp_path: Path, sealed: Path
) -> None:
    root = "ab" * 32
    assert document("revoke", "model", root, "--reason", "x")["target"] == root
    plain = write_model(tmp_path, "plain.keras")
    assert "no root" in cli("revoke", "model", plain, "--reason", "x", code=1).stderr


def test_a_file_of_a_project_is_changed_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "trust.toml"
    cli("keygen", tmp_path / "key", "--no-passphrase")
    cli("trust", "add", "ci", tmp_path / "key.pub", "--file", project)
    assert cli("trust", "list").stdout.startswith("No key is trusted")
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(project))
    assert "ci" in cli("trust", "list").stdout


def test_a_name_that_stands_for_another_key_elsewhere_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    """Two keys of one name are refused at every load: no command may bring that about."""
    project = tmp_path / "trust.toml"
    for name in ("one", "two"):
        cli("keygen", tmp_path / name, "--no-passphrase")
    cli("trust", "add", "ci", tmp_path / "one.pub", "--file", project)
    monkeypatch.setenv("KERAS_INTEGRITY_TRUST", str(project))
    assert (
        "one named 'ci' already" in cli("trust", "add", "ci", tmp_path / "two.pub", code=1).stderr
    )
    assert not (home / "trust.toml").exists()
    cli("trust", "add", "ci", tmp_path / "one.pub")


def test_a_broken_trust_file_is_a_wrong_setting(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "trust.toml").write_text("[[kees]]\n")
    assert "did you mean 'keys'" in cli("trust", "list", code=2).stderr


def test_a_signer_without_its_extra_says_what_to_install(sealed: Path) -> None:
    for scheme, extra, module in (
        ("awskms:alias/models", "awskms", "boto3"),
        ("gcpkms:projects/p", "gcpkms", "google.cloud.kms"),
        ("hv:models/1", "vault", "hvac"),
    ):
        probe = subprocess.run(
            [sys.executable, "-c", f"import {module}"], check=False, capture_output=True
        )
        if probe.returncode == 0:
            continue
        done = cli("sign", sealed / "model.keras", "--key", scheme, code=1)
        assert f"pip install 'securesystemslib[{extra}]" in done.stdout


def test_a_key_in_a_hardware_module_signs(tmp_path: Path, sealed: Path) -> None:
    pytest.importorskip("pkcs11", reason="needs the extra hsm")
    if not SOFTHSM:
        pytest.skip("needs SoftHSM (softhsm2)")
    pin = "648219"
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\n")
    environment: dict[str, Any] = {"SOFTHSM2_CONF": str(configuration), "PYKCS11LIB": SOFTHSM}
    subprocess.run(
        [
            "softhsm2-util",
            "--init-token",
            "--free",
            "--label",
            "models",
            "--so-pin",
            "9876",
            "--pin",
            pin,
        ],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    generate = (
        "import os, pkcs11\n"
        "from pkcs11.util.ec import encode_named_curve_parameters\n"
        "token = pkcs11.lib(os.environ['PYKCS11LIB']).get_token(token_label='models')\n"
        f"with token.open(rw=True, user_pin={pin!r}) as session:\n"
        "    made = session.create_domain_parameters(pkcs11.KeyType.EC,\n"
        "        {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters('secp256r1')},\n"
        "        local=True)\n"
        "    made.generate_keypair(id=b'\\x02', label='signing', store=True)\n"
    )
    subprocess.run([sys.executable, "-c", generate], env={**os.environ, **environment}, check=True)
    uri = "hsm:2?label=models"
    secret: dict[str, Any] = {**environment, "KERAS_INTEGRITY_KEY_PASSPHRASE": pin}
    cli("sign", sealed, "--key", uri, **secret)
    cli("trust", "add", "token", uri, **secret)
    assert cli("verify", sealed).stdout.count("Signed by token.") == 2
    wrong: dict[str, Any] = {**environment, "KERAS_INTEGRITY_KEY_PASSPHRASE": "000111"}
    kih.unseal(sealed / "model.keras")
    kih.seal(sealed / "model.keras")
    done = cli("sign", sealed / "model.keras", "--key", uri, code=1, **wrong)
    assert "the signer failed" in done.stdout
    assert "000111" not in done.stdout + done.stderr
    cli("sign", sealed / "model.keras", "--key", uri, **secret)


def test_a_project_s_trust_file_is_made_by_its_first_key(tmp_path: Path, sealed: Path) -> None:
    trusted = tmp_path / "trust.toml"
    cli("keygen", tmp_path / "key", "--no-passphrase")
    variables: dict[str, Any] = {"KERAS_INTEGRITY_TRUST": str(trusted)}
    words = ["trust", "add", "team", tmp_path / "key.pub"]
    cli(*words, code=2, **variables)  # to the user's file, while the project's is not there
    cli(*words, "--file", trusted, **variables)
    cli("sign", sealed, "--key", tmp_path / "key")
    assert cli("verify", sealed, **variables).stdout.count("Signed by team.") == 2


def test_a_model_is_recalled_by_its_root_as_reports_show_it(sealed: Path) -> None:
    path = sealed / "model.keras"
    seal = kih.inspect(path).seal
    assert seal is not None
    shown = f"{seal.algorithm}:{seal.root}"
    assert shown in cli("inspect", path).stdout
    assert document("revoke", "model", shown, "--reason", "INC-42")["target"] == seal.root
    assert "INC-42" in cli("verify", path, code=1).stdout
    listed = cli("trust", "list").stdout
    assert "kind    model" in listed
    assert "since   2" in listed


def test_a_model_with_a_detached_signature_alone_is_said_to_be_signed(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    cli("keygen", tmp_path / "key", "--no-passphrase", "--type", "ecdsa")
    cli("bundle", "sign", path, "--key", tmp_path / "key")
    cli("trust", "add", "release", tmp_path / "key.pub")
    told = cli("verify", path, KERAS_INTEGRITY_REQUIRE="signed").stdout
    assert "Signed by release." in told
    assert "No seal" not in told
