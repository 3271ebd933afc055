# SPDX-License-Identifier: Apache-2.0
"""The command line on files that Keras really saved, each command in a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import keras_integrity_hook
from tests.support.processes import ARM, cli, document, environment

USER_SCRIPT = """
import keras

model = keras.Sequential([
    keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10)
])
model.save("model.keras")
model.save_weights("model.weights.h5")
model.save("legacy.h5")
"""


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which every interpreter arms the hook as it starts."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "sitecustomize.py").write_text(ARM)
    return environment(str(folder))


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory, armed: dict[str, str]) -> Path:
    """A directory with what a user's script saved, sealed by the hook."""
    folder = tmp_path_factory.mktemp("saved")
    script = folder.parent / "user_script.py"
    script.write_text(USER_SCRIPT)
    subprocess.run([sys.executable, str(script)], cwd=folder, env=armed, check=True)
    return folder


@pytest.fixture(scope="session")
def pythonpath_only(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that finds the package on PYTHONPATH and so never arms it."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False)
    return str(folder / "bin" / "python")


@pytest.fixture
def models(saved: Path, tmp_path: Path) -> Path:
    """A private copy of the saved files, in a tree."""
    tree = tmp_path / "models"
    shutil.copytree(saved, tree / "deep" / "er")
    return tree


@pytest.fixture
def plain(models: Path) -> Path:
    """The same tree as Keras without the hook would have left it."""
    assert cli("unseal", models).returncode == 0
    return models


def contents(tree: Path) -> dict[str, bytes]:
    return {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*") if p.is_file()}


def flip_a_weight(path: Path) -> str:
    """Flip one bit of a layer's variable in an HDF5 file; return the variable's name."""
    seal = keras_integrity_hook.inspect(path).seal
    assert seal is not None
    region = next(r for r in seal.regions if r.name.startswith("layers/dense_1/"))
    data = bytearray(path.read_bytes())
    data[seal.block_size + region.offset + 3] ^= 0x40
    path.write_bytes(data)
    return region.name


class TestVerify:
    def test_what_keras_saved_is_sealed_and_verifies(self, models: Path) -> None:
        done = cli("verify", models)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("sealed  ") == 3
        assert "3 models: 3 sealed" in done.stdout

    def test_a_flipped_weight_is_refused_and_named(self, models: Path) -> None:
        name = flip_a_weight(models / "deep/er/model.weights.h5")
        assert "/vars/" in name
        done = cli("verify", models)
        assert done.returncode == 1
        assert name in done.stdout
        assert "restore it from a trusted copy" in done.stdout
        assert "2 sealed" in done.stdout
        assert "1 damaged" in done.stdout

    def test_json_carries_the_evidence(self, models: Path) -> None:
        path = models / "deep/er/model.weights.h5"
        name = flip_a_weight(path)
        (result,) = document(cli("verify", "--json", path))["results"]
        assert result["state"] == "damaged"
        assert result["report"] is None
        assert result["error"]["code"] == "checksum-mismatch"
        assert name in result["error"]["evidence"]["parts"]

    def test_a_missing_path_does_not_hide_the_others(self, models: Path) -> None:
        done = cli("verify", "no-such.keras", models)
        assert done.returncode == 1
        assert "unreadable" in done.stdout
        assert "3 sealed" in done.stdout

    def test_an_unsealed_file_passes_with_advice(self, plain: Path) -> None:
        done = cli("verify", plain / "deep/er/model.keras")
        assert done.returncode == 0
        assert "unsealed" in done.stdout
        assert "keras-integrity seal" in done.stdout

    def test_an_unsealed_file_is_refused_where_seals_are_required(self, plain: Path) -> None:
        done = cli("verify", plain, env=environment(KERAS_INTEGRITY_UNSEALED="reject"))
        assert done.returncode == 1
        assert "3 models: 3 unsealed" in done.stdout

    def test_a_misspelt_setting_is_a_usage_error(self, models: Path) -> None:
        env = environment(KERAS_INTEGRITY_UNSEALED="rejcet")
        done = cli("verify", models, env=env)
        assert done.returncode == 2
        assert "rejcet" in done.stderr
        done = cli("verify", "--json", models, env=env)
        assert document(done)["error"]["code"] == "configuration"

    def test_looking_at_nothing_is_no_pass(self, tmp_path: Path) -> None:
        (tmp_path / "README.txt").write_text("no models here")
        done = cli("verify", tmp_path)
        assert done.returncode == 1
        assert "no .keras" in done.stdout

    def test_a_fifo_in_the_tree_neither_hangs_nor_passes(self, models: Path) -> None:
        os.mkfifo(models / "pipe.keras")
        done = cli("verify", models)
        assert done.returncode == 1
        assert "3 sealed" in done.stdout

    def test_a_file_name_cannot_drive_the_terminal(self, models: Path) -> None:
        evil = models / "evil\x1b[2J\nsealed  fake.keras"
        evil.write_bytes(b"")
        done = cli("verify", models)
        assert done.returncode == 1
        assert "\x1b" not in done.stdout
        assert "\nsealed  fake" not in done.stdout
        paths = [r["path"] for r in document(cli("verify", "--json", models))["results"]]
        assert str(evil) in paths

    def test_a_file_name_that_is_not_text_is_reported(self, models: Path) -> None:
        name = os.fsencode(models) + b"/caf\xe9.keras"
        shutil.copy(models / "deep/er/model.keras", os.fsdecode(name))
        (result,) = document(cli("verify", "--json", os.fsdecode(name)))["results"]
        assert result["ok"]
        assert os.fsencode(result["path"]) == name


class TestSealAndUnseal:
    def test_a_tree_is_migrated(self, plain: Path) -> None:
        done = cli("seal", plain)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "3 models: 3 sealed" in done.stdout
        env = environment(KERAS_INTEGRITY_UNSEALED="reject")
        assert cli("verify", plain, env=env).returncode == 0

    def test_unseal_after_seal_gives_the_bytes_back(self, plain: Path) -> None:
        before = contents(plain)
        assert cli("seal", plain).returncode == 0
        assert contents(plain) != before
        assert cli("unseal", plain).returncode == 0
        assert contents(plain) == before

    def test_dry_run_changes_nothing(self, plain: Path) -> None:
        before = contents(plain)
        done = cli("seal", "--dry-run", plain)
        assert done.returncode == 0
        assert "3 would-seal" in done.stdout
        assert contents(plain) == before

    def test_sealed_files_are_left_alone(self, models: Path) -> None:
        path = models / "deep/er/model.keras"
        before = path.stat(), contents(models)
        done = cli("seal", models)
        assert done.returncode == 0
        assert "3 already-sealed" in done.stdout
        assert (path.stat().st_mtime_ns, path.stat().st_ino) == (
            before[0].st_mtime_ns,
            before[0].st_ino,
        )
        assert contents(models) == before[1]

    def test_a_damaged_file_is_not_given_a_fresh_seal(self, models: Path) -> None:
        path = models / "deep/er/model.weights.h5"
        flip_a_weight(path)
        cli("seal", models)
        assert cli("verify", path).returncode == 1

    def test_the_algorithm_is_the_one_asked_for(self, plain: Path) -> None:
        for algorithm in ("blake2b", "sha512", "sha256"):
            assert cli("seal", "--algorithm", algorithm, plain).returncode == 0
            results = document(cli("verify", "--json", plain))["results"]
            assert {r["report"]["seal"]["algorithm"] for r in results} == {algorithm}
            assert cli("unseal", plain).returncode == 0

    def test_links_out_of_the_tree_are_not_followed(self, plain: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside.keras"
        shutil.copy(plain / "deep/er/model.keras", outside)
        before = outside.read_bytes()
        (plain / "link.keras").symlink_to(outside)
        done = cli("seal", plain)
        assert done.returncode == 0
        assert "skipped" in done.stdout
        assert outside.read_bytes() == before

    def test_text_is_not_sealed(self, tmp_path: Path) -> None:
        note = tmp_path / "note.keras"
        note.write_text("not a model")
        done = cli("seal", note)
        assert done.returncode == 1
        assert note.read_text() == "not a model"


class TestInspect:
    def test_the_parts_of_the_model_are_named(self, models: Path) -> None:
        done = cli("inspect", models / "deep/er/model.weights.h5")
        assert done.returncode == 0
        for expected in ("layers/dense_1/vars/1", "integrity only", "sha256:", "keras "):
            assert expected in done.stdout

    def test_the_content_is_not_checked(self, models: Path) -> None:
        path = models / "deep/er/model.weights.h5"
        flip_a_weight(path)
        assert cli("inspect", path).returncode == 0


class TestUsage:
    @pytest.mark.parametrize(
        "arguments",
        [("verify",), ("frobnicate",), ("seal", "--algorithm", "md5", "x"), ("verify", "--what")],
    )
    def test_a_wrong_command_line_exits_2(self, arguments: tuple[str, ...]) -> None:
        done = cli(*arguments)
        assert done.returncode == 2
        assert "Usage:" in done.stderr

    def test_help_lists_every_command(self) -> None:
        done = cli("--help")
        assert done.returncode == 0
        for name in ("verify", "seal", "unseal", "inspect", "status", "doctor", "site", "demo"):
            assert f"\n  {name} " in done.stdout

    def test_verify_imports_nothing_heavy(self, models: Path) -> None:
        code = (
            "import sys\n"
            "from keras_integrity_hook.cli import main\n"
            "try:\n    main(['verify', sys.argv[1]])\n"
            "except SystemExit as end:\n    assert end.code == 0\n"
            "heavy = {'keras', 'wrapt', 'h5py', 'numpy', 'tensorflow', 'asyncio'}\n"
            "print('loaded:', sorted(heavy & set(sys.modules)))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(models)],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.endswith("loaded: []\n")


class TestDoctor:
    def test_an_armed_environment_is_found_protected(self, armed: dict[str, str]) -> None:
        done = cli("doctor", "--json", env=armed)
        facts = document(done)["facts"]
        assert done.returncode == 0, done.stdout + done.stderr
        assert facts["armed"]
        assert not facts["keras_loaded"]
        assert facts["targets"]
        assert facts["public"]["keras.saving.load_model"] is True
        # "import keras" loads TensorFlow but neither KerasHub nor tf_keras, nor its own old Keras.
        others = ("keras_hub.", "tf_keras.", "tensorflow.python.keras.")
        states = {state for name, state in facts["targets"] if not name.startswith(others)}
        assert states <= {"wrapped", "absent"}

    def test_pythonpath_is_explained_as_the_reason(self, pythonpath_only: str) -> None:
        env = environment(sysconfig.get_path("purelib"))
        done = cli("doctor", env=env, python=pythonpath_only)
        assert done.returncode == 1
        assert "NOT protected" in done.stdout
        assert "PYTHONPATH" in done.stdout

    def test_status_tells_an_unarmed_process(self, pythonpath_only: str) -> None:
        env = environment(sysconfig.get_path("purelib"))
        done = cli("status", "--json", env=env, python=pythonpath_only)
        assert done.returncode == 1
        assert document(done)["armed"] is False

    def test_opting_out_is_not_protected(self, armed: dict[str, str]) -> None:
        env = {**armed, "KERAS_INTEGRITY": "off"}
        assert cli("status", env=env).returncode == 1
        done = cli("doctor", env=env)
        assert done.returncode == 1
        assert "The mode is off (environment variable KERAS_INTEGRITY)" in done.stdout

    def test_a_misspelt_mode_is_named(self, armed: dict[str, str]) -> None:
        env = {**armed, "KERAS_INTEGRITY": "enforec"}
        done = cli("doctor", env=env)
        assert done.returncode == 1
        assert "enforec" in done.stdout
        assert cli("status", env=env).returncode == 2

    def test_a_shadowing_directory_is_noticed(self, armed: dict[str, str], tmp_path: Path) -> None:
        shadow = tmp_path / "keras_integrity_hook"
        shadow.mkdir()
        (shadow / "__init__.py").touch()
        code = "from keras_integrity_hook.cli import main; main(['doctor'])"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env=armed,
            cwd=tmp_path,
            capture_output=True,
            check=False,
            text=True,
        )
        assert str(tmp_path) in done.stdout
        assert "importable" in done.stdout

    def test_status_of_an_armed_process(self, armed: dict[str, str]) -> None:
        done = cli("status", env=armed)
        assert done.returncode == 0
        assert "enforce" in done.stdout


def test_demo_keeps_its_promises(armed: dict[str, str]) -> None:
    pytest.importorskip("sklearn")
    done = cli("demo", "--json", env=armed)
    steps = document(done)["steps"]
    assert done.returncode == 0
    assert len(steps) == 6
    assert "ChecksumMismatchError" in steps[-1]["lines"][0]
    assert "layers/dense_1/vars/1" in steps[-1]["lines"][0]


@pytest.mark.nightly  # five processes that import Keras, and a sandbox
def test_demo_of_a_malicious_model_keeps_its_promises(armed: dict[str, str]) -> None:
    done = cli("demo", "--malicious", "--json", env=armed)
    steps = document(done)["steps"]
    assert done.returncode == 0
    assert len(steps) == 6
    assert "DangerousModelError" in steps[3]["lines"][0]
    assert "InputContractError" in steps[-1]["lines"][-1]


def test_demo_fails_where_the_hook_is_not_armed(pythonpath_only: str) -> None:
    pytest.importorskip("sklearn")
    env = environment(sysconfig.get_path("purelib"))
    done = cli("demo", env=env, python=pythonpath_only)
    assert done.returncode == 1
    told = " ".join(done.stdout.split())
    assert "NOT AS PROMISED" in told
    assert "keras-integrity doctor" in told
