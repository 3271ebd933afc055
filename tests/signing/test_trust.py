# SPDX-License-Identifier: Apache-2.0
"""Trust files: what they may say, who may have written them, and whose word counts."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keras_integrity_hook.errors import (
    AuditError,
    ConfigurationError,
    InsecurePermissionsError,
    IntegrityWarning,
    SigningError,
)
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import trust_edit, trust_file, trust_store
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.trust_file import TrustedIdentity, TrustedKey, TrustedRoot
from tests.support import machine
from tests.support.signers import let_trust, make_key, trusted

ID = "ab" * 32
KEY = f"""# the release team
[[keys]]
name = "release"  # ask Ann
keyid = "{ID}"
scheme = "ed25519"
public = "PEM"
"""


@pytest.fixture(autouse=True)
def user_file(home: Path) -> Path:
    home.mkdir(parents=True)
    return home / "trust.toml"


@pytest.fixture
def key(tmp_path: Path) -> PublicKey:
    return make_key(tmp_path / "key")


def refused(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        trust_file.parse(text.encode(), "trust.toml")
    assert caught.value.path == "trust.toml"
    return caught.value.cause


# What a file may say


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (KEY + 'publik = "x"\n', 7, "did you mean 'public'"),
        (KEY + "\n[[key]]\n", 8, "did you mean 'keys'"),
        (KEY.replace('"ed25519"', '"ed25518"'), 5, "did you mean 'ed25519'"),
        (KEY.replace('scheme = "ed25519"\n', ""), 2, "lacks 'scheme'"),
        (KEY.replace(ID, ID.upper()), 4, "lower-case hex"),
        (KEY.replace('"release"', '""'), 3, "'name' is empty"),
        (KEY.replace('"release"', '"a\\u0007b"'), 3, "not printable"),
        (KEY.replace('"release"', f'"{ID}"'), 3, "looks like a key id"),
        (KEY.replace('"PEM"', "17"), 6, "not a text"),
        (KEY + 'not_after = "2027-01-01"\n', 7, "is not a date"),
        (KEY + "not_after = 2027-01-01T00:00:00\n", 7, "needs a time zone"),
        (KEY + "not_before = 12:00:00\n", 7, "is not a date"),
        (KEY + "\n" + KEY + 'coment = "x"\n', 14, "did you mean 'comment'"),
        (f'[[revoked_keys]]\nkeyid = "{ID}"\n[[revoked_models]]\nroot = "x"\n', 4, "hex digits"),
        ("keys = 5\n", 1, r"written as \[\[keys\]\]"),
        ("[keys]\nname = 1\n", 1, r"written as \[\[keys\]\]"),
        ('\nversion = "1"\n', 2, "not known here"),
    ],
)
def test_every_mistake_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    cause = refused(text)
    assert cause.startswith(f"line {line}: ")
    assert __import__("re").search(said, cause), cause


@pytest.mark.parametrize("text", ["keys = [", "\0", "a" * 3 + "=" * 9, "x = " + "[" * 5000])
def test_what_is_no_toml_is_refused(text: str) -> None:
    assert "is not a TOML file" in refused(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        trust_file.parse(b"\xff\xfe", "trust.toml")


def test_a_file_with_too_many_entries_is_refused() -> None:
    text = f'[[revoked_keys]]\nkeyid = "{ID}"\n' * (LIMITS.trusted_keys + 1)
    assert "entries" in refused(text)


def test_a_period_of_days_is_from_the_beginning_of_the_first_to_the_end_of_the_last() -> None:
    text = KEY + "not_before = 2027-01-30\nnot_after = 2027-01-31\n"
    (key,) = trust_file.parse(text.encode(), "x").keys
    midnight, moment = datetime(2027, 1, 30, tzinfo=UTC), timedelta(microseconds=1)
    assert key.counts_at(midnight)
    assert not key.counts_at(midnight - moment)
    assert key.counts_at(midnight + timedelta(days=2) - moment)
    assert not key.counts_at(midnight + timedelta(days=2))


def test_the_last_day_of_a_certificate_and_of_an_identity_counts_as_well() -> None:
    text = (
        '[[certificates]]\nname = "a"\npem = "PEM"\nnot_after = 2027-01-31\n'
        '[[sigstore]]\nname = "b"\ntrusted_root = "/root.json"\nidentity = "i"\nissuer = "s"\n'
        "not_after = 2027-01-31\n"
    )
    found = trust_file.parse(text.encode(), "x")
    [certificate], [identity] = found.certificates, found.identities
    for counts_at in (certificate.counts_at, identity.counts_at):
        assert counts_at(datetime(2027, 1, 31, 23, 59, 59, tzinfo=UTC))
        assert not counts_at(datetime(2027, 2, 1, tzinfo=UTC))


# Whose word counts


def test_keys_of_user_and_project_are_added_up_and_so_are_revocations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: PublicKey
) -> None:
    other = make_key(tmp_path / "other")
    project = tmp_path / "project.toml"
    let_trust("alice", key)
    trust_edit.add_key(str(project), trusted("bob", other))
    trust_edit.revoke_model(str(project), ID, "backdoor")
    assert [one.name for one in trust_store.store().keys] == ["alice"]
    assert trust_store.revocation(ID) is None
    monkeypatch.setenv(trust_store.VARIABLE, str(project))
    assert [one.name for one in trust_store.store().keys] == ["alice", "bob"]
    found = trust_store.revocation(ID)
    assert found is not None
    assert found.reason == "backdoor"
    assert found.source == str(project)


def test_a_project_file_that_is_missing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust_store.VARIABLE, str(tmp_path / "missing.toml"))
    with pytest.raises(ConfigurationError, match="missing"):
        trust_store.store()


def test_one_name_for_two_keys_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: PublicKey
) -> None:
    """A project must not pass its own key off as one that a policy knows by name."""
    let_trust("release", key)
    project = tmp_path / "project.toml"
    trust_edit.add_key(str(project), trusted("release", make_key(tmp_path / "other")))
    monkeypatch.setenv(trust_store.VARIABLE, str(project))
    with pytest.raises(ConfigurationError, match=r"two .* named 'release'"):
        trust_store.store()


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o602])
def test_a_trust_file_that_others_may_write_is_refused(
    user_file: Path, key: PublicKey, mode: int
) -> None:
    let_trust("alice", key)
    trust_store.store()
    user_file.chmod(mode)
    with pytest.raises(InsecurePermissionsError) as caught:
        trust_store.store()
    assert caught.value.mode == mode
    with pytest.raises(InsecurePermissionsError):
        trust_edit.revoke_model(str(user_file), ID, "x")


def test_a_trust_file_of_another_user_is_refused(user_file: Path, key: PublicKey) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    let_trust("alice", key)
    os.chown(user_file, 12345, 12345)
    with pytest.raises(InsecurePermissionsError):
        trust_store.store()


@pytest.mark.parametrize("what", ["fifo", "directory", "long"])
def test_what_is_no_small_file_is_refused_without_waiting(user_file: Path, what: str) -> None:
    if what == "fifo":
        os.mkfifo(user_file, 0o600)
    elif what == "directory":
        user_file.mkdir(mode=0o700)
    else:
        user_file.write_bytes(b"#" * (LIMITS.trust_file + 1))
    with pytest.raises(ConfigurationError):
        trust_store.store()


def test_a_change_counts_at_once(user_file: Path, tmp_path: Path, key: PublicKey) -> None:
    let_trust("alice", key)
    first = trust_store.store().keys
    assert trust_store.store().keys[0] is first[0]
    let_trust("bob", make_key(tmp_path / "other"))
    assert [one.name for one in trust_store.store().keys] == ["alice", "bob"]
    user_file.unlink()
    assert trust_store.store().keys == ()


def test_a_relative_configuration_directory_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The specification says so; else whoever prepares a directory decides who is trusted in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    assert not trust_store.user_file().startswith(str(tmp_path))


# Changes


def test_a_change_keeps_comments_and_the_rest(user_file: Path, key: PublicKey) -> None:
    user_file.write_text(KEY)
    user_file.chmod(0o600)
    let_trust("alice", key)
    text = user_file.read_text()
    assert text.startswith(KEY)
    assert user_file.stat().st_mode & 0o777 == 0o600
    removed = trust_edit.remove(str(user_file), "release")
    assert isinstance(removed, TrustedKey)
    assert removed.keyid == ID
    assert "# the release team" in user_file.read_text()
    assert [one.name for one in trust_store.store().keys] == ["alice"]
    assert trust_edit.remove(str(user_file), key.keyid).name == "alice"
    assert trust_store.store().keys == ()
    let_trust("alice", key)
    assert [one.name for one in trust_store.store().keys] == ["alice"]


def test_names_and_keys_are_not_added_twice(key: PublicKey, tmp_path: Path) -> None:
    let_trust("alice", key)
    with pytest.raises(SigningError, match="trusted already"):
        let_trust("bob", key)
    with pytest.raises(SigningError, match="named 'alice' already"):
        let_trust("alice", make_key(tmp_path / "other"))
    with pytest.raises(SigningError, match="nobody who is trusted is named 'bob'"):
        trust_edit.remove(trust_store.user_file(), "bob")


def test_what_would_not_be_read_again_is_not_written(user_file: Path, key: PublicKey) -> None:
    let_trust("alice", key)
    before = user_file.read_bytes()
    with pytest.raises(SigningError, match="it would have a mistake"):
        trust_edit.revoke_model(str(user_file), "no digest", "x")
    with pytest.raises(SigningError, match="it would have a mistake"):
        trust_edit.add_key(str(user_file), trusted("\a", key)._replace(keyid=ID))
    assert user_file.read_bytes() == before
    assert os.listdir(user_file.parent) == ["trust.toml"]


def test_a_file_with_a_mistake_is_not_changed(user_file: Path) -> None:
    user_file.write_text("keys = 5\n")
    with pytest.raises(ConfigurationError):
        trust_edit.revoke_model(str(user_file), ID, "x")
    assert user_file.read_text() == "keys = 5\n"


def test_a_reason_cannot_forge_another_entry(user_file: Path) -> None:
    reason = f'"\n[[keys]]\nname = "mallory"\nkeyid = "{ID}"\nscheme = "ed25519"\npublic = "'
    trust_edit.revoke_model(str(user_file), ID, reason)
    assert trust_store.store().keys == ()
    assert trust_store.store().revoked_models[ID].reason == reason


def test_a_linked_trust_file_stays_a_link(user_file: Path, tmp_path: Path, key: PublicKey) -> None:
    (tmp_path / "dotfiles.toml").write_text("# mine\n")
    user_file.symlink_to(tmp_path / "dotfiles.toml")
    let_trust("alice", key)
    assert user_file.is_symlink()
    assert "alice" in (tmp_path / "dotfiles.toml").read_text()


def test_changes_made_at_once_are_all_kept(user_file: Path) -> None:
    roots = [f"{number:064x}" for number in range(12)]
    edits = [
        threading.Thread(target=trust_edit.revoke_model, args=(str(user_file), root, "x"))
        for root in roots
    ]
    for edit in edits:
        edit.start()
    for edit in edits:
        edit.join()
    assert sorted(trust_store.store().revoked_models) == roots


def test_what_an_editor_writes_meanwhile_is_not_lost(
    user_file: Path, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor takes no lock; a revocation that it has just written must count."""
    let_trust("alice", key)
    check = trust_edit._check

    def edited_meanwhile(after: bytes, path: str) -> None:
        check(after, path)
        with user_file.open("a") as file:
            file.write(f'\n[[revoked_models]]\nroot = "{ID}"\n')

    monkeypatch.setattr(trust_edit, "_check", edited_meanwhile)
    with pytest.raises(SigningError, match="changed meanwhile"):
        trust_edit.remove(str(user_file), "alice")
    assert list(trust_store.store().revoked_models) == [ID]
    assert [one.name for one in trust_store.store().keys] == ["alice"]
    assert os.listdir(user_file.parent) == ["trust.toml"]


def test_a_read_only_trust_file_is_not_replaced(user_file: Path, key: PublicKey) -> None:
    if not os.geteuid():
        pytest.skip("root may write it all the same")
    let_trust("alice", key)
    user_file.chmod(0o444)
    with pytest.raises(SigningError, match="cannot be changed"):
        trust_edit.remove(str(user_file), "alice")


def test_a_file_that_was_swapped_for_another_is_not_replaced(
    user_file: Path, tmp_path: Path, key: PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_trust("alice", key)
    (tmp_path / "other").write_text(user_file.read_text())
    read = trust_edit._read

    def swapped(path: str) -> bytes | None:
        found = read(path)
        if (tmp_path / "other").exists():
            os.replace(tmp_path / "other", user_file)
        return found

    monkeypatch.setattr(trust_edit, "_read", swapped)
    with pytest.raises(SigningError, match="cannot be changed"):
        trust_edit.remove(str(user_file), "alice")
    assert "alice" in user_file.read_text()


# The machine's file

ASK = """
import sys
from datetime import UTC, datetime
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.signing import trust_store
for machine_only in (True, False):
    try:
        print(",".join(one.name for one in trust_store.store(machine_only=machine_only).keys))
        print(",".join(trust_store.store(machine_only=machine_only).revoked_models))
    except IntegrityError as error:
        print(type(error).__name__)
"""


def test_only_the_machines_keys_and_everybodys_revocations_count_where_it_decides(
    tmp_path: Path, key: PublicKey
) -> None:
    trust_edit.add_key(str(tmp_path / "machine.toml"), trusted("release", key))
    let_trust("mine", make_key(tmp_path / "other"))
    trust_edit.revoke_model(trust_store.user_file(), ID, "bad")
    etc = machine.make_etc(tmp_path, {"trust.toml": (tmp_path / "machine.toml").read_text()})
    done = machine.run([sys.executable, "-c", ASK], etc)
    assert done.stdout.split("\n")[:4] == ["release", ID, "release,mine", ID], done.stderr


@pytest.mark.parametrize("fault", ["writable", "owner", "directory", "link"])
def test_a_machine_file_that_others_could_have_written_is_refused(
    tmp_path: Path, key: PublicKey, fault: str
) -> None:
    trust_edit.add_key(str(tmp_path / "machine.toml"), trusted("release", key))
    etc = machine.make_etc(tmp_path, {"trust.toml": (tmp_path / "machine.toml").read_text()})
    file = etc / "keras-integrity/trust.toml"
    if fault == "writable":
        file.chmod(0o664)
    elif fault == "owner":
        os.chown(file, 12345, 0)
    elif fault == "directory":
        file.parent.chmod(0o777)
    else:
        file.rename(file.with_name("elsewhere.toml"))
        file.symlink_to("elsewhere.toml")
    done = machine.run([sys.executable, "-c", ASK], etc)
    expected = "ConfigurationError" if fault == "link" else "InsecurePermissionsError"
    assert done.stdout.split() == [expected] * 2, done.stderr


# Imported first: the interpreter may lie where others cannot read.
AS_SOMEBODY = """
import difflib, os, tempfile, tomlkit, tomllib
from keras_integrity_hook.cli import main, trust
os.setgid(12345)
os.setuid(12345)
main()
"""


def test_the_machines_file_is_changed_by_root_and_by_nobody_else(
    tmp_path: Path, key: PublicKey
) -> None:
    etc = machine.make_etc(tmp_path, {})
    tmp_path.chmod(0o755)
    revoke = ["revoke", "model", ID, "--reason", "bad", "--machine"]
    command = [sys.executable, "-m", "keras_integrity_hook.cli", *revoke]
    done = machine.run(command, etc)
    assert done.returncode == 0, done.stdout + done.stderr
    file = etc / "keras-integrity/trust.toml"
    assert file.stat().st_mode & 0o777 == 0o644
    before = file.read_bytes()
    other = [*revoke[:2], "cd" * 32, *revoke[3:]]
    done = machine.run([sys.executable, "-c", AS_SOMEBODY, *other], etc)
    assert done.returncode == 1
    assert "run the command as root" in done.stderr
    assert file.read_bytes() == before


def test_the_bounds_of_a_validity_period_are_within_it() -> None:
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    key = trust_file.TrustedKey("a", "00", "ed25519", "", not_before=first, not_after=last)
    moment = timedelta(microseconds=1)
    asked = (first - moment, first, last, last + moment)
    found = [trust_file.state_at(key, at) for at in asked]
    assert found == ["not yet valid", "valid", "valid", "expired"]
    assert [key.counts_at(at) for at in asked] == [False, True, True, False]


# What is recorded


def test_every_edit_of_a_trust_file_is_in_the_audit_log(
    user_file: Path, key: PublicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(log))
    path = str(user_file)
    let_trust("alice", key)
    trust_edit.add_key(path, trusted("lab", key), vetter=True)
    trust_edit.add_certificates(path, TrustedRoot("team", "PEM", "ann@example.com"))
    trust_edit.add_identity(path, TrustedIdentity("flow", "/root.json", "flow", "https://i"))
    trust_edit.remove(path, "flow")
    trust_edit.revoke_key(path, key.keyid, "stolen")
    trust_edit.revoke_key(path, key.keyid, "stolen")  # it was so already
    trust_edit.revoke_model(path, ID, "backdoor")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(event["event"], event["outcome"], event["path"]) for event in events} == {
        ("trust", "ok", path)
    }
    facts = [event["facts"] for event in events]
    assert [(one["change"], one["kind"]) for one in facts] == [
        ("added", "key"),
        ("added", "vetter"),
        ("added", "certificates"),
        ("added", "identity"),
        ("removed", "identity"),
        ("revoked", "key"),
        ("revoked", "model"),
    ]
    assert facts[0] == {"change": "added", "kind": "key", "name": "alice", "keyid": key.keyid}
    assert (facts[-1]["root"], facts[-1]["reason"]) == (ID, "backdoor")


def test_an_edit_that_must_be_recorded_and_cannot_be_does_not_happen(
    user_file: Path, key: PublicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "missing" / "audit.jsonl"))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    with pytest.raises(AuditError, match="'trust' could not be recorded"):
        let_trust("alice", key)
    assert not user_file.exists()


def test_a_log_that_cannot_be_written_keeps_no_trust_alive(
    user_file: Path, key: PublicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_trust("alice", key)
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", str(tmp_path / "missing" / "audit.jsonl"))
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_REQUIRED", "true")
    with pytest.warns(IntegrityWarning, match="'trust' could not be recorded"):
        assert trust_edit.revoke_model(str(user_file), ID, "backdoor")
    trust_edit.revoke_key(str(user_file), key.keyid, "stolen")
    trust_edit.remove(str(user_file), "alice")
    found = trust_store.store()
    assert (found.keys, set(found.revoked_keys)) == ((), {key.keyid})
    assert trust_store.revocation(ID) is not None


def test_what_was_pulled_is_added_up_with_what_is_edited_here(
    user_file: Path, key: PublicKey, tmp_path: Path
) -> None:
    pulled = user_file.parent / "published" / "trust.toml"
    pulled.parent.mkdir()
    trust_edit.add_key(str(pulled), trusted("fleet", key))
    trust_edit.revoke_model(str(user_file), ID, "backdoor")
    assert [one.name for one in trust_store.store().keys] == ["fleet"]
    assert trust_store.revocation(ID) is not None
    assert trust_store.present() == (str(user_file), str(pulled))
    assert trust_store.store(machine_only=True).keys == ()
