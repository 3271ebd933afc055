# SPDX-License-Identifier: Apache-2.0
"""Commands that write change nothing in a directory but what is recognisably a Keras model.

What is passed over is told, and whatever is named itself is worked on; commands that check go
everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from keras_integrity_hook import api
from keras_integrity_hook.cli import main
from tests.support.models import hdf5_bytes, write_model

# What Keras 3 and tf_keras write with the hook off, in one process: imports cost seconds.
_WRITE_EVERY_FORM = """
import sys
import keras, tf_keras
import numpy as np
top = sys.argv[1]
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Normalization()])
model.compile("adam", "mse")
model.fit(np.zeros((4, 4)), np.zeros((4, 3)), verbose=0)
model.save(top + "/three.keras")
model.save(top + "/three.h5")
model.save_weights(top + "/three.weights.h5")
empty = keras.Sequential([keras.Input((4,)), keras.layers.Flatten()])
empty.save_weights(top + "/empty.weights.h5")
empty.save(top + "/empty.h5")
class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.own = self.add_weight(shape=(2,), name="own")
        self.inner = keras.layers.Dense(2, dtype="bfloat16")
    def call(self, x):
        return self.inner(x)
subclassed = Subclassed()
subclassed(np.zeros((1, 4)))
subclassed.save_weights(top + "/subclassed.weights.h5")
older = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(4,))])
older.save(top + "/older.keras")
older.save(top + "/older.h5")
older.save_weights(top + "/older.weights.h5")
older.save_weights(top + "/oldest.hdf5", save_format="h5")
"""


def run(command: str, *arguments: str | os.PathLike[str]) -> Result:
    return CliRunner().invoke(main, [command, *(os.fspath(one) for one in arguments)])


def results(done: Result) -> dict[str, tuple[str, str | None]]:
    """The state and the reason of each path."""
    listed = json.loads(done.stdout)["results"]
    return {one["path"]: (one["state"], one["reason"]) for one in listed}


def write_measurements(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "3.15.1"  # of the program that evaluated them
        file["runs/one/temperature"] = np.arange(100.0)
    return path


def write_foreign(folder: Path) -> list[Path]:
    """Files of other programs under the suffixes of ours, one of each kind."""
    files = [write_measurements(folder / "measurements.h5")]
    with h5py.File(folder / "newest.h5", "w", libver="latest") as file:
        file["vars/0"] = np.arange(8.0)
    with h5py.File(folder / "with_block.hdf5", "w", userblock_size=512) as file:
        file["temperature"] = np.arange(8.0)
    with h5py.File(folder / "empty.h5", "w"):
        pass
    with h5py.File(folder / "mixed.h5", "w") as file:
        file["vars/0"] = np.arange(8.0)
        file["temperature"] = np.arange(8.0)
    with h5py.File(folder / "layered.h5", "w") as file:
        file.attrs["layer_names"] = ["sand", "clay"]  # of the ground
        file["sand"] = np.arange(8.0)
    with zipfile.ZipFile(folder / "notes.keras", "w") as archive:
        archive.writestr("notes.txt", "of somebody called Keras")
    files += [folder / name for name in ("newest.h5", "with_block.hdf5", "empty.h5")]
    return [*files, folder / "mixed.h5", folder / "layered.h5", folder / "notes.keras"]


def test_every_form_that_keras_writes_is_sealed(home: Path, models: Path) -> None:
    models.mkdir()
    environment = dict(os.environ, KERAS_INTEGRITY="off", TF_CPP_MIN_LOG_LEVEL="3")
    command = [sys.executable, "-W", "ignore", "-c", _WRITE_EVERY_FORM, str(models)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    written = sorted(models.iterdir())
    assert len(written) == 10
    told = results(run("seal", "--json", models))
    assert told == {str(path): ("sealed", None) for path in written}


def test_files_of_other_programs_stay_as_they_are(home: Path, models: Path) -> None:
    models.mkdir()
    foreign = write_foreign(models)
    before = [path.read_bytes() for path in foreign]
    model = write_model(models, "m.weights.h5")
    for command in ("seal", "sign", "unseal"):
        told = results(run(command, "--json", models))
        assert {path for path, (state, _) in told.items() if state == "skipped"} == {
            str(path) for path in foreign
        }
        assert all(reason for state, reason in told.values() if state == "skipped")
    assert [path.read_bytes() for path in foreign] == before
    assert run("seal", models).exit_code == 0
    assert model.read_bytes() != hdf5_bytes()


def test_file_of_another_program_is_sealed_when_it_is_named(home: Path, tmp_path: Path) -> None:
    file = write_measurements(tmp_path / "measurements.h5")
    assert results(run("seal", "--json", file)) == {str(file): ("sealed", None)}
    # And then it is somebody's to look after, in a directory as well.
    assert results(run("unseal", "--json", tmp_path)) == {str(file): ("unsealed", None)}


def make_environment(top: Path) -> Path:
    venv.create(top / "env", with_pip=False)
    return top / "env"


@pytest.mark.parametrize(
    ("where", "word"),
    [
        (".git/lfs", "Version control"),
        ("lib/python3.11/site-packages/package", "Installed packages"),
        ("lib/python3/dist-packages", "Installed packages"),
        ("page/node_modules/tfjs", "Installed packages"),
        (".tox/py311", "environment"),
        ("__pycache__", "cache"),
        (".cache/huggingface", "cache"),
        ("Library/Caches/app", "cache"),
        (".dvc/cache", "cache"),
    ],
)
def test_places_of_other_programs_are_passed_over(
    home: Path, models: Path, where: str, word: str
) -> None:
    (models / where).mkdir(parents=True)
    theirs = write_model(models / where, "m.keras")
    ours = write_model(models, "m.keras")
    before = theirs.read_bytes()
    told = results(run("seal", "--json", models))
    assert told.pop(str(ours)) == ("sealed", None)
    ((path, (state, reason)),) = told.items()
    assert str(theirs).startswith(path + os.sep)
    assert state == "skipped"
    assert reason is not None
    assert word in reason
    assert theirs.read_bytes() == before


@pytest.mark.parametrize("kind", ["venv", "conda", "tag"])
def test_environments_and_caches_are_told_by_their_marks(
    home: Path, models: Path, kind: str
) -> None:
    models.mkdir()
    write_model(models, "m.keras")
    folder = models / "anything"
    if kind == "venv":
        make_environment(models).rename(folder)
    elif kind == "conda":
        (folder / "conda-meta").mkdir(parents=True)
    else:
        folder.mkdir()
        tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"
        (folder / "CACHEDIR.TAG").write_bytes(tag)
    theirs = write_model(folder, "m.keras")
    told = results(run("seal", "--json", models))
    assert told[str(folder)][0] == "skipped"
    assert str(theirs) not in told


def test_named_environment_is_searched_and_its_packages_are_not(home: Path, models: Path) -> None:
    models.mkdir()
    environment = make_environment(models)
    (packages,) = environment.glob("lib/python*/site-packages")
    inner = write_model(packages, "m.keras")
    outer = write_model(environment, "m.keras")
    told = results(run("seal", "--json", environment))
    assert (told[str(outer)][0], told[str(packages)][0]) == ("sealed", "skipped")
    assert results(run("seal", "--json", packages)) == {str(inner): ("sealed", None)}


@pytest.mark.parametrize("mark", ["pyvenv.cfg", ".git/HEAD", "site-packages/x"])
def test_no_mark_hides_a_damaged_model_from_a_check(home: Path, models: Path, mark: str) -> None:
    (models / mark).parent.mkdir(parents=True)
    model = write_model((models / mark).parent, "m.keras")
    api.seal(model)
    (models / mark).write_text("home = /usr/bin\n")
    data = bytearray(model.read_bytes())
    data[len(data) // 3] ^= 1
    model.write_bytes(data)
    done = run("verify", "--json", models)
    assert done.exit_code == 1
    assert results(done)[str(model)][0] == "damaged"


def test_broken_models_are_still_refused(home: Path, models: Path) -> None:
    models.mkdir()
    (models / "cut.keras").write_bytes(b"PK\x03\x04")
    (models / "empty.h5").write_bytes(b"")
    (models / "pointer.weights.h5").write_text("version https://git-lfs.github.com/spec/v1\n")
    done = run("seal", "--json", models)
    states = {Path(path).name: state for path, (state, _) in results(done).items()}
    assert done.exit_code == 1
    assert states == {
        "cut.keras": "damaged",
        "empty.h5": "not-a-model",
        "pointer.weights.h5": "not-a-model",
    }


def test_what_was_passed_over_is_counted(home: Path, models: Path) -> None:
    models.mkdir()
    write_foreign(models)
    make_environment(models)
    (models / ".git").mkdir()
    write_model(models, "m.keras")
    done = run("seal", models)
    assert done.exit_code == 0
    counted = "7 files that are no Keras models, 1 virtual environment, 1 directory of version"
    assert counted in done.stdout
    assert "measurements.h5" not in done.stdout
    assert "--dry-run" in done.stdout


def test_dry_run_says_why_each_was_passed_over(home: Path, models: Path) -> None:
    models.mkdir()
    write_foreign(models)
    environment = make_environment(models)
    write_model(models, "m.keras")
    done = run("seal", "--dry-run", models)
    lines = done.stdout.splitlines()
    for path, why in (
        (models / "measurements.h5", "'runs/one/temperature' is no variable of a model."),
        (models / "newest.h5", "a version of the format that Keras does not write."),
        (models / "empty.h5", "without any variable of a Keras model."),
        (environment, "its installer counts on its files."),
    ):
        (at,) = [i for i, line in enumerate(lines) if line.endswith(f" {path}")]
        assert lines[at].startswith("skipped")
        assert lines[at + 1].endswith(why)
    assert "would-seal" in done.stdout


def test_directory_of_nothing_else_does_not_pass(home: Path, models: Path) -> None:
    write_measurements(models / "measurements.h5")
    done = run("seal", "--json", models)
    assert done.exit_code == 1
    told = json.loads(done.stdout)["results"][-1]
    assert told["error"]["code"] == "not-a-model"
    assert "only 1 file that is no Keras model" in told["error"]["message"]


def test_verify_recommends_no_seal_for_what_seal_passes_over(home: Path, models: Path) -> None:
    models.mkdir()
    foreign = write_measurements(models / "measurements.h5")
    inside = make_environment(models)
    write_model(inside, "packaged.keras")
    write_model(models, "m.keras")
    done = run("verify", models)
    assert done.exit_code == 0
    assert "'runs/one/temperature' is no variable of a model." in done.stdout
    assert "its installer counts on its files." in done.stdout
    assert "1 has no seal, so a change would go unnoticed." in done.stdout
    assert "adds one" in run("verify", foreign).stdout  # it was named
