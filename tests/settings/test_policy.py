# SPDX-License-Identifier: Apache-2.0
"""Policy files, variables, and which of them is in force."""

from __future__ import annotations

import contextvars
import json
import os
import pwd
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook import settings
from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.files import root_owned
from keras_integrity_hook.settings import advice, patterns, toml_file
from keras_integrity_hook.settings.schema import KEYS
from keras_integrity_hook.settings.toml_file import Layer
from tests.support import machine as another_machine
from tests.support.models import write_model

CLI = [sys.executable, "-m", "keras_integrity_hook.cli"]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def _nobody_else_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def user_policy(tmp_path: Path) -> Path:
    home = tmp_path / "xdg/keras-integrity"
    home.mkdir(parents=True)
    return home / "policy.toml"


@pytest.fixture
def project_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "project/integrity.toml"
    path.parent.mkdir()
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    return path


def parse(text: str, layer: Layer = Layer.MACHINE) -> toml_file.PolicyFile:
    return toml_file.parse(text.encode(), "/somewhere/policy.toml", layer)


# Precedence


def test_defaults_are_in_force_where_nobody_decides() -> None:
    found = settings.at("/srv/model.keras")
    assert found.mode is settings.Mode.ENFORCE
    assert found.unsealed is settings.Unsealed.WARN
    assert not found.needs_seal
    assert set(found.origins.values()) == {"default"}


def test_project_stands_above_user_and_variable_above_both(
    user_policy: Path, project_policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user_policy.write_text('threshold = 2\nmodel = "of the user"\nalgorithm = "sha512"')
    project_policy.write_text('threshold = 3\nmodel = "of the project"')
    monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "4")
    found = settings.at()
    assert (found.threshold, found.model, found.algorithm) == (4, "of the project", "sha512")
    assert found.origins["threshold"] == "environment variable KERAS_INTEGRITY_THRESHOLD"
    assert found.origins["model"] == f"{project_policy}, line 2"
    assert found.origins["algorithm"] == f"{user_policy}, line 3"


def test_settings_follow_every_change(
    user_policy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert settings.at("/srv/m.keras").threshold == 1
    user_policy.write_text('threshold = 2\n[[rules]]\npath = "m.keras"\nthreshold = 3')
    assert [settings.at(path).threshold for path in ("/srv/m.keras", None, "m.h5")] == [3, 2, 2]
    monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "4")
    assert [settings.at(path).threshold for path in ("/srv/m.keras", None, "m.h5")] == [3, 4, 4]
    # As long as it was, and as old.
    before = user_policy.stat()
    user_policy.write_text('threshold = 2\n[[rules]]\npath = "m.keras"\nthreshold = 5')
    os.utime(user_policy, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert settings.at("/srv/m.keras").threshold == 5
    monkeypatch.setenv("KERAS_INTEGRITY_AUDIT_LOG", "log")
    monkeypatch.chdir(tmp_path)
    assert settings.at().audit_log == str(tmp_path / "log")
    monkeypatch.chdir("/")
    assert settings.at().audit_log == "/log"
    user_policy.unlink()
    monkeypatch.delenv("KERAS_INTEGRITY_THRESHOLD")
    assert settings.at("/srv/m.keras").threshold == 1


def test_one_decision_is_made_by_one_look_at_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    with settings.snapshot():
        assert settings.at().threshold == 1
        monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "4")
        with settings.snapshot():
            assert settings.at("/srv/m.keras").threshold == 1
        assert settings.at().threshold == 1
        left = contextvars.copy_context()  # as a thread that tells a listener has it
    assert settings.at().threshold == 4
    assert left.run(settings.at).threshold == 4


def test_a_mistake_is_not_forgotten_by_the_next_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_THRESHOLD", "none")
    with settings.snapshot():
        for _ in range(2):
            with pytest.raises(kih.ConfigurationError):
                settings.at()


def test_first_matching_rule_wins_over_the_rest(
    project_policy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project_policy.write_text(
        'unsealed = "warn"\n'
        '[[rules]]\npath = "models/**"\nunsealed = "reject"\n'
        '[[rules]]\npath = "models/old.keras"\nunsealed = "warn"\nthreshold = 5\n'
    )
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALED", "warn")
    below = settings.at(str(tmp_path / "project/models/old.keras"))
    assert below.unsealed is settings.Unsealed.REJECT
    assert below.threshold == 1
    assert settings.at(str(tmp_path / "project/other.keras")).unsealed is settings.Unsealed.WARN


def test_rule_holds_under_every_name_of_its_directory(
    project_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tmp_path / "disk7/models"
    real.mkdir(parents=True)
    (tmp_path / "project/models").symlink_to(real)
    (tmp_path / "shortcut").symlink_to(real)
    project_policy.write_text('[[rules]]\npath = "models/**"\nrequire = "sealed"\n')
    monkeypatch.chdir(real)
    for path in ("m.keras", tmp_path / "shortcut/m.keras", tmp_path / "project/models/../models/m"):
        assert settings.at(str(path)).needs_seal, path


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/srv/**", "/srv/a/b.keras", True),
        ("/srv/**", "/srv", True),
        ("/srv/**", "/srvx/a", False),
        ("/srv/*", "/srv/a", True),
        ("/srv/*", "/srv/a/b", False),
        ("/srv/*/prod/**", "/srv/x/prod/y/z", True),
        ("/srv/*/prod/**", "/srv/x/y/prod/z", False),
        ("/srv/**/m.keras", "/srv/m.keras", True),
        ("/srv/**/m.keras", "/srv/a/b/m.keras", True),
        ("/srv/m-[0-9].keras", "/srv/m-7.keras", True),
        ("/srv/m-[!0-9].keras", "/srv/m-7.keras", False),
        ("/srv/m-[!0-9]x", "/srv/m-/x", False),
        ("/srv/a.keras", "/srv/aXkeras", False),
        ("*.keras", "/any/where.keras", True),
        ("*.keras", "/any/where.keras/x", False),
        ("/**/m.keras", "/m.keras", True),
        ("gs://bucket/**", "gs://bucket/m.keras", True),
        ("/srv/**", "/srv/new\nline", True),
        ("/srv/(a|b)+", "/srv/aab", False),
        ("/srv/a**b", "/srv/a/x/b", True),
        ("/srv/**/a*b*/**/c", "/srv/x/ab/a1b2/y/z/c", True),
        ("/srv/**/a*b*/**/c", "/srv/x/a1/b2/y/z/c", False),
        ("/srv/*/**", "/srv/x", True),
        ("/srv/[]a]", "/srv/]", True),
        ("/srv/[a&&b^]", "/srv/^", True),
        ("/srv/a://b/*", "/srv/a://b/m", True),
    ],
)
def test_pattern(pattern: str, path: str, expected: bool) -> None:
    assert patterns.matches(pattern, path) is expected


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a/" + "*a" * 30 + "b", "/a/" + "a" * 4000),
        ("/" + "**/" * 30 + "x", "/a" * 2000),
        ("/" + "**a" * 30 + "x", "/a" * 2000),
    ],
)
def test_long_path_takes_no_time_to_match(pattern: str, path: str) -> None:
    assert not patterns.matches(pattern, path)  # or never, by trying each way to match it


@pytest.mark.parametrize("pattern", ["/srv/[z-a]", "/srv/[!]", "/srv/[]"])
def test_class_of_characters_that_is_none_is_a_mistake(project_policy: Path, pattern: str) -> None:
    project_policy.write_text(f'[[rules]]\npath = "{pattern}"\nthreshold = 2\n')
    with pytest.raises(ConfigurationError, match="line 2: path is wrong"):
        settings.at("/srv/m.keras")


def test_link_leads_neither_into_a_rule_nor_out_of_it_unseen(
    project_policy: Path, tmp_path: Path
) -> None:
    project_policy.write_text(
        '[[rules]]\npath = "free/**"\nmodel = "free"\n'
        '[[rules]]\npath = "ruled/**"\nmodel = "ruled"\n'
        '[[rules]]\npath = "*.keras"\nmodel = "by name"\n'
    )
    top = tmp_path / "project"
    for name in ("free", "ruled", "else"):
        (top / name).mkdir()
    (top / "free/m").write_text("")
    (top / "ruled/m").symlink_to("../free/m")
    (top / "current").symlink_to("ruled")
    (top / "else/m.keras").symlink_to("../else/x")
    for path, models in {
        "free/m": ["free"],
        "ruled/m": ["ruled", "free"],
        "current/m": [None, "ruled", "free"],
        "free/../current/m": [None, "ruled", "free"],
        "else/m.keras": ["by name", None],
        "else/none": [None],
    }.items():
        assert [one.model for one in settings.at_each_name(str(top / path))] == models, path
    assert settings.at(str(top / "current/m")).model == "ruled"  # the first name with a rule
    (top / "loop").symlink_to("loop")
    assert len(settings.at_each_name(str(top / "loop/m"))) == 1


def test_every_setting_has_a_variable_and_a_field() -> None:
    found = settings.at()
    assert {name for name in KEYS if hasattr(found, name)} == set(KEYS)


def test_values_of_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "SIGNERS": "ann, bob",
        "AUDIT_REQUIRED": "Yes",
        "MAXIMUM_AGE": "36h",
        "KEY": "keys/me.pem",
        "FALLBACK": "~/safe.keras",
        "REQUIRE": "SIGNED",
    }.items():
        monkeypatch.setenv(f"KERAS_INTEGRITY_{name}", text)
    found = settings.at()
    assert found.signers == ("ann", "bob")
    assert found.audit_required is True
    assert found.maximum_age == timedelta(hours=36)
    assert found.key == str(tmp_path / "keys/me.pem")
    assert found.fallback == os.path.expanduser("~/safe.keras")
    assert found.needs_signatures


def test_key_kept_elsewhere_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for reference in ("env:MODEL_KEY", "hsm:2?label=x", "awskms:arn/key", "gcpkms://x"):
        monkeypatch.setenv("KERAS_INTEGRITY_KEY", reference)
        assert settings.at().key == reference


@pytest.mark.parametrize("text", ["-----BEGIN PRIVATE KEY-----", "c2VjcmV0\nc2VjcmV0"])
def test_private_key_in_place_of_its_path_is_refused_and_not_shown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_KEY", f"{text}c2VjcmV0")
    with pytest.raises(kih.ConfigurationError, match="not the key itself") as caught:
        settings.at()
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(kih.ConfigurationError, match="not the key itself") as caught:
        parse(f"key = {json.dumps(text + 'c2VjcmV0')}")
    assert "c2VjcmV0" not in str(caught.value)


# Mistakes


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        ('\nunseald = "warn"', 2, "did you mean 'unsealed'"),
        ('require = "singed"', 1, "did you mean 'signed'"),
        ('require = "registered+signed"', 1, '"signed+registered"'),
        ('registry = "http://models.example.com"', 1, "on this machine alone"),
        ('registry = "https://ann:secret@models.example.com"', 1, "no password"),
        ('registry = "postgresql+psycopg://h/d?password=secret"', 1, "no password"),
        ('registry_id = "ABC"', 1, "64 hex digits"),
        ('registry_timeout = "0s"', 1, "a length of time"),
        ("# x\n\nthreshold = 0", 3, "1 to 64"),
        ("threshold = true", 1, "1 to 64"),
        ('valid_for = "99999w"', 1, "100 years"),
        ('threshold = "2"', 1, "1 to 64"),
        ('signers = "ann"', 1, "a list"),
        ("audit_required = 1", 1, "true or false"),
        ('maximum_age = "3 months"', 1, '"90d"'),
        ('algorithm = "md5"', 1, '"sha256"'),
        ('allowed_algorithms = ["sha256", "sha1"]', 1, "a list of"),
        ('call = "os.remove"', 1, "function"),
        ('lock = ["unsealedd"]', 1, "did you mean 'unsealed'"),
        ('lock = "loads"', 1, "a list"),
        ('allow_opt_out = "no"', 1, "true or false"),
        ('[[rules]]\npath = "/a"\nmode = "off"', 3, "whole process"),
        ('[[rules]]\npath = "/a"\n[[rules]]\npath = "/b"\nmodle = "x"', 5, "did you mean 'model'"),
        ('[[rules]]\nrequire = "sealed"', 1, "needs a path"),
        ('[[rules]]\npath = "models/*"', 2, "absolute"),
        ('[rules]\npath = "/a"', 1, "[[rules]]"),
        ('[trust]\nkey = "x"', 1, "there is no setting 'trust'"),
        ('allow_opt_out = false\nmode = "off"', 2, "protects nobody"),
        ('model = "a\\nb"', 1, "the name of a model"),
    ],
)
def test_mistake_is_refused_with_its_line(text: str, line: int, hint: str) -> None:
    with pytest.raises(kih.ConfigurationError) as caught:
        parse(text)
    assert "secret" not in caught.value.cause
    assert f"line {line}: " in caught.value.cause
    assert hint in caught.value.cause
    assert caught.value.path == "/somewhere/policy.toml"


@pytest.mark.parametrize(
    "data", [b"mode = ", b"\xff", b"mode = 'a'\nmode = 'b'", b"a = [" * 3000, b"x = {" * 500]
)
def test_file_that_is_no_toml_is_refused(data: bytes) -> None:
    with pytest.raises(kih.ConfigurationError):
        toml_file.parse(data, "/p.toml", Layer.USER)


def test_key_of_many_parts_takes_no_memory(user_policy: Path) -> None:
    user_policy.write_text("a" + ".a" * 400_000 + " = 1\n")
    with pytest.raises(ConfigurationError, match="dots"):
        settings.at()


def test_many_rules_take_no_time_to_read(user_policy: Path) -> None:
    rule = '[[rules]]\npath = "/srv/{}/**"\nsigners = ["a"]\nmodel = "m"\nmaximum_age = "9d"\n\n'
    user_policy.write_text("".join(map(rule.format, range(1000))))
    assert settings.at("/srv/999/m").origins["model"] == f"{user_policy}, line {999 * 6 + 4}"


def test_policy_that_cannot_be_read_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", "/proc/self/mem")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        settings.at()


@pytest.mark.parametrize("key", ["lock = ['mode']", "allow_opt_out = false"])
@pytest.mark.parametrize("layer", [Layer.USER, Layer.PROJECT])
def test_only_the_machine_can_lock(key: str, layer: Layer) -> None:
    with pytest.raises(kih.ConfigurationError, match="machine's policy"):
        parse(key, layer)


def test_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_UNSEALD", "reject")
    with pytest.raises(kih.ConfigurationError, match="did you mean 'KERAS_INTEGRITY_UNSEALED'"):
        settings.at()


def test_project_policy_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(tmp_path / "gone.toml"))
    with pytest.raises(kih.ConfigurationError, match="not there"):
        settings.at()


def test_policy_that_everybody_may_write_is_refused(user_policy: Path) -> None:
    user_policy.write_text("threshold = 1")
    user_policy.chmod(0o666)
    with pytest.raises(kih.InsecurePermissionsError) as caught:
        settings.at()
    assert caught.value.mode == 0o666


@pytest.mark.parametrize("what", ["directory", "fifo", "huge"])
def test_policy_that_is_no_file_is_refused(user_policy: Path, what: str) -> None:
    if what == "directory":
        user_policy.mkdir()
    elif what == "fifo":
        os.mkfifo(user_policy)
    else:
        user_policy.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(kih.ConfigurationError):
        settings.at()


# Machine files


@pytest.mark.parametrize("at_fault", ["file", "directory", "owner", "link", "linked directory"])
def test_machine_file_that_others_could_have_written_is_refused(
    tmp_path: Path, at_fault: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    home = Path("/run") / f"keras-integrity-test-{os.getpid()}"
    home.mkdir(mode=0o755)
    try:
        file = home / "policy.toml"
        file.write_text("threshold = 1")
        file.chmod(0o644)
        assert root_owned.read_root_owned(str(file), 100) == b"threshold = 1"
        assert root_owned.read_root_owned(str(home / "none"), 100) is None
        if at_fault == "file":
            file.chmod(0o664)
        elif at_fault == "directory":
            home.chmod(0o757)
        elif at_fault == "owner":
            os.chown(file, 65534, 65534)
        elif at_fault == "link":
            file.rename(home / "real")
            file.symlink_to(home / "real")
        else:
            home.rename(f"{home}-real")
            home.symlink_to(f"{home}-real")
        with pytest.raises((kih.InsecurePermissionsError, kih.ConfigurationError)):
            root_owned.read_root_owned(str(file), 100)
    finally:
        if home.is_symlink():
            home.unlink()
            home = Path(f"{home}-real")
        for one in home.iterdir():
            one.unlink()
        home.rmdir()


LOCKED = 'allow_opt_out = false\nlock = ["unsealed"]\nunsealed = "reject"\nthreshold = 2\n'


def show_on(etc: Path, **variables: str) -> Any:
    done = another_machine.run([*CLI, "policy", "show", "--json"], etc, environment=variables)
    return json.loads(done.stdout)


def test_locked_setting_cannot_be_changed(tmp_path: Path, user_policy: Path) -> None:
    etc = another_machine.make_etc(tmp_path, {"policy.toml": LOCKED})
    user_policy.write_text('unsealed = "warn"\nthreshold = 3\n[[rules]]\npath="*"\nunsealed="warn"')
    found = show_on(
        etc, KERAS_INTEGRITY="off", KERAS_INTEGRITY_UNSEALED="warn", KERAS_INTEGRITY_MODEL="m"
    )["settings"]
    assert found["mode"] == {"value": "enforce", "origin": "default", "locked": True}
    assert found["unsealed"]["value"] == "reject"
    assert found["unsealed"]["origin"] == "/etc/keras-integrity/policy.toml, line 3"
    assert found["threshold"]["value"] == 3  # not locked
    assert found["model"]["value"] == "m"


def test_keras_cannot_be_imported_under_an_insecure_machine_policy(tmp_path: Path) -> None:
    etc = another_machine.make_etc(tmp_path, {"policy.toml": LOCKED})
    (etc / "keras-integrity/policy.toml").chmod(0o666)
    done = another_machine.run(
        [sys.executable, "-c", "import keras_integrity_hook as k; k.activate(); import keras"],
        etc,
        environment={"KERAS_INTEGRITY": "off"},
    )
    assert done.returncode == 1
    assert "InsecurePermissionsError" in done.stderr
    assert "0666" in done.stderr


def test_opt_out_has_no_effect_where_it_is_locked(tmp_path: Path) -> None:
    etc = another_machine.make_etc(tmp_path, {"policy.toml": LOCKED})
    path = write_model(tmp_path, "m.keras")
    script = f"""
import keras_integrity_hook; keras_integrity_hook.activate()
import keras
try:
    keras.models.load_model({str(path)!r})
except Exception as error:
    print(type(error).__name__)
"""
    done = another_machine.run(
        [sys.executable, "-c", script], etc, environment={"KERAS_INTEGRITY": "off"}
    )
    assert done.stdout.split() == ["UnsealedModelError"], done.stderr


def test_home_in_the_machines_policy_is_no_variable(tmp_path: Path) -> None:
    policy = (
        'lock = ["loads"]\nfallback = "~/fallback.keras"\n'
        '[[rules]]\npath = "~/models/**"\nrequire = "signed"\n'
    )
    etc = another_machine.make_etc(tmp_path, {"policy.toml": policy})
    home = pwd.getpwuid(os.getuid()).pw_dir
    done = another_machine.run(
        [*CLI, "policy", "show", "--path", f"{home}/models/m.keras", "--json"],
        etc,
        environment={"HOME": str(tmp_path)},
    )
    found = json.loads(done.stdout)["settings"]
    assert found["require"]["value"] == "signed"
    assert found["fallback"]["value"] == f"{home}/fallback.keras"


# Advice and command line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('lock = ["require"]\nrequire = "signed"', "switch the hook off"),
        ('signers = ["a"]', "mean nothing"),
        ('require = "signed"\nsigners = ["a"]\nthreshold = 2', "cannot be had"),
        ('on_failure = "fallback"', "needs a fallback"),
        ('on_failure = "call"', "needs a call"),
        ('mode = "off"', "unchecked"),
        ("register_on_save = true", "needs a registry"),
        ('stages = ["production"]', "stages mean nothing"),
        ("register_on_save = true", "needs a key"),
        ('[[rules]]\npath = "/a"\n[[rules]]\npath = "/a"', "never used"),
        ('allow_opt_out = false\nlock = ["unsealed"]', "override"),
    ],
)
def test_advice(text: str, expected: str) -> None:
    assert any(expected in note for note in advice.on(parse(text)))


def test_registry_is_locked_with_the_demand_that_models_be_registered() -> None:
    demand = 'lock = ["require"]\n[[rules]]\npath = "/a"\nrequire = "{}"'
    assert {"registry", "registry_id", "stages"} <= parse(demand.format("signed+registered")).locked
    assert parse(demand.format("signed")).locked == {"require"}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("sqlite:///r.db", "sqlite:////somewhere/r.db"),
        ("sqlite:////srv/r.db", "sqlite:////srv/r.db"),
        ("postgresql+psycopg://m@/r?host=/run/db", "postgresql+psycopg://m@/r?host=/run/db"),
        ("http://127.0.0.1:8080/r", "http://127.0.0.1:8080/r"),
        ("file:///srv/mirror", "file:///srv/mirror"),
    ],
)
def test_where_a_registry_is(url: str, found: str) -> None:
    assert parse(f'registry = "{url}"').entries["registry"].value == found


def test_no_advice_on_a_policy_that_is_sound() -> None:
    text = 'allow_opt_out = false\nlock = ["loads"]\nrequire = "signed"\nallow_override = false'
    assert list(advice.on(parse(text))) == []


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, check=False)


def test_check_tells_line_and_nearest_name(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('mode = "enforce"\nrequirre = "signed"\n')
    done = run_cli("policy", "check", str(path))
    assert done.returncode == 1
    assert "line 2" in done.stdout
    assert "'require'" in done.stdout
    path.write_text('lock = ["mode"]\nmode = "enforce"\n')
    assert run_cli("policy", "check", str(path)).returncode == 0
    assert run_cli("policy", "check", "--for", "user", str(path)).returncode == 1
    assert run_cli("policy", "check", str(tmp_path / "none")).returncode == 1


def test_show_tells_the_rule_of_a_path(project_policy: Path, tmp_path: Path) -> None:
    project_policy.write_text('[[rules]]\npath = "*.h5"\nmodel = "old"\n')
    done = run_cli("policy", "show", "--path", "x.h5", "--json")
    document = json.loads(done.stdout)
    assert document["rule"] == {"path": "*.h5", "origin": f"{project_policy}, line 2"}
    assert document["settings"]["model"]["value"] == "old"
    text = run_cli("policy", "show", "--path", "x.h5").stdout
    assert f"{project_policy}, line 3" in text
    assert run_cli("policy", "show").stdout.count("\n") > len(KEYS)


def test_show_of_a_broken_policy_is_a_usage_error(project_policy: Path) -> None:
    project_policy.write_text("mode = 1")
    done = run_cli("policy", "show")
    assert done.returncode == 2
    assert "line 1" in done.stderr


def test_every_setting_has_a_row_in_the_docs() -> None:
    page = DOCS / "policy.md"
    settings_section = page.read_text().partition("## Settings")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", settings_section, re.MULTILINE)
    assert sorted(named) == sorted(KEYS)


def test_readme_counts_all_settings() -> None:
    table = (DOCS.parent / "README.md").read_text().partition("## Settings")[2]
    named = re.findall(r"^\| `(\w+)` \| `KERAS_INTEGRITY", table, re.MULTILINE)
    more = re.search(r"and (\d+) more", table)
    assert more is not None
    assert len(named) + int(more[1]) == len(KEYS)
