# SPDX-License-Identifier: Apache-2.0
"""Nothing that lies in a directory can hide a damaged model from a command over it.

The attacker may add files to a directory of models; what is there already was sealed before and
has rotted. A check of the directory has to say so, whatever the files that were added look like.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import keras_integrity_hook as kih
from keras_integrity_hook import api
from keras_integrity_hook.cli import main
from keras_integrity_hook.containers.kinds import KERAS_DIRECTORY, ORBAX, SAVED_MODEL
from keras_integrity_hook.containers.recognition import recognise, sets_in_directory
from keras_integrity_hook.files import confinement
from keras_integrity_hook.fleet.discovery import Role, model_files
from keras_integrity_hook.limits import LIMITS
from tests.support.models import archive_bytes, hdf5_bytes, write_model

COMMANDS = ("verify", "inspect", "seal", "unseal", "reseal", "sign")


def run(command: str, *arguments: str | os.PathLike[str]) -> tuple[int, dict[str, str]]:
    """The exit status of a command, and the state of each path it tells about."""
    extra = ["--reason", "a test"] if command == "reseal" else []
    done = CliRunner().invoke(
        main, [command, "--json", *extra, *(os.fspath(one) for one in arguments)]
    )
    results = json.loads(done.stdout)["results"]
    return done.exit_code, {result["path"]: result["state"] for result in results}


def rot(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


def write_keras_directory(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"class_name": "Sequential"}')
    (folder / "metadata.json").write_text('{"keras_version": "3.15.1"}')
    (folder / "model.weights.h5").write_bytes(hdf5_bytes())
    return folder


def write_orbax(folder: Path) -> None:
    (folder / "default").mkdir(parents=True, exist_ok=True)
    (folder / "_CHECKPOINT_METADATA").write_text("{}")
    (folder / "default" / "manifest.ocdbt").write_bytes(b"values")


def write_saved_model(folder: Path) -> Path:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(b"values")
    return folder


def write_checkpoint(folder: Path, stem: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.index").write_bytes(b"index")
    (folder / f"{stem}.data-00000-of-00001").write_bytes(b"values")


def write_shards(folder: Path) -> None:
    (folder / "big.weights.json").write_text('{"weight_map": {"/x": ["big_00000.weights.h5"]}}')
    (folder / "big_00000.weights.h5").write_bytes(hdf5_bytes())


@pytest.fixture
def rotten(home: Path, models: Path) -> Path:
    """A directory with a damaged model in it and one below it."""
    (models / "deep").mkdir(parents=True)
    for path in (models / "a.keras", models / "deep" / "b.keras"):
        path.write_bytes(archive_bytes())
        api.seal(path)
        rot(path)
    return models


def plant_config(top: Path) -> None:
    (top / "config.json").write_text('{"project": "churn"}')


def plant_seal(top: Path) -> None:
    """The seal of an innocent model of the same form, which lists nothing that is here."""
    other = write_keras_directory(top.parent / "other")
    api.seal(other)
    os.rename(other / KERAS_DIRECTORY.seal, top / KERAS_DIRECTORY.seal)


def plant_saved_model(top: Path) -> None:
    (top / "saved_model.pb").write_bytes(b"")


def plant_sealed_orbax(top: Path) -> None:
    """A checkpoint whose seal covers everything in and below the directory, as it is now."""
    write_orbax(top)
    api.seal(top)


def plant_preset(top: Path) -> None:
    (top / "metadata.json").write_text('{"keras_hub_version": "0.20"}')


def plant_shard_index(top: Path) -> None:
    (top / "z.weights.json").write_text('{"weight_map": {"/x": ["a.keras"]}}')


def plant_sealed_shard_index(top: Path) -> None:
    plant_shard_index(top)
    api.seal(top / "z.weights.json")


def plant_checkpoint_index(top: Path) -> None:
    write_checkpoint(top, "a")
    (top / "a.keras.index").write_bytes(b"index")


def plant_backup(top: Path) -> None:
    (top / "training_metadata.json").write_text("{}")
    os.rename(top / "a.keras", top / "latest.weights.h5")


PLANTS: list[Callable[[Path], Any]] = [
    plant_config,
    write_keras_directory,
    plant_seal,
    plant_saved_model,
    write_orbax,
    plant_sealed_orbax,
    plant_preset,
    plant_shard_index,
    plant_sealed_shard_index,
    plant_checkpoint_index,
    plant_backup,
]


@pytest.mark.parametrize("plant", PLANTS)
def test_planted_files_hide_no_damaged_model(rotten: Path, plant: Callable[[Path], Any]) -> None:
    plant(rotten)
    status, states = run("verify", rotten)
    assert status == 1
    first = "latest.weights.h5" if plant is plant_backup else "a.keras"
    assert states[str(rotten / first)] == "damaged"
    assert states[str(rotten / "deep" / "b.keras")] == "damaged"


def test_planted_saved_model_does_not_hide_a_damaged_keras_directory(
    home: Path, tmp_path: Path
) -> None:
    folder = write_keras_directory(tmp_path / "model")
    api.seal(folder)
    rot(folder / "model.weights.h5")
    plant_saved_model(folder)
    assert {place.kind for place in sets_in_directory(str(folder))} == {
        SAVED_MODEL,
        KERAS_DIRECTORY,
    }
    assert run("verify", folder)[0] == 1
    assert run("verify", tmp_path)[0] == 1


@pytest.mark.parametrize("lost", ["config.json", "metadata.json", "model.weights.h5"])
def test_sealed_directory_that_lost_a_file_is_damaged(
    home: Path, tmp_path: Path, lost: str
) -> None:
    folder = write_keras_directory(tmp_path / "model")
    api.seal(folder)
    (folder / lost).unlink()
    assert run("verify", folder) == (1, {str(folder): "damaged"})
    assert run("verify", tmp_path) == (1, {str(folder): "damaged"})


@pytest.mark.parametrize("lost", ["config.json", "metadata.json", "model.weights.h5"])
def test_part_of_a_directory_is_no_directory(tmp_path: Path, lost: str) -> None:
    folder = write_keras_directory(tmp_path / "model")
    (folder / lost).unlink()
    assert recognise(str(folder)) is None


def test_orbax_marks_without_values_are_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "_CHECKPOINT_METADATA").write_text("{}")
    assert recognise(str(tmp_path)) is None
    write_orbax(tmp_path)
    place = recognise(str(tmp_path))
    assert place is not None
    assert place.kind is ORBAX


def test_sealed_checkpoint_that_lost_its_index_is_damaged(home: Path, models: Path) -> None:
    write_checkpoint(models, "step")
    api.seal(models / "step")
    assert run("verify", models) == (0, {str(models / "step"): "sealed"})
    (models / "step.index").unlink()
    assert run("verify", models) == (1, {str(models / "step"): "damaged"})


def test_index_of_another_program_is_no_checkpoint(home: Path, models: Path) -> None:
    models.mkdir()
    (models / "corpus.index").write_bytes(b"words")
    write_model(models, "m.keras")
    assert list(run("verify", models)[1]) == [str(models / "m.keras")]


def test_models_below_and_beside_the_members_of_a_set_are_sealed_too(
    home: Path, tmp_path: Path
) -> None:
    folder = write_keras_directory(tmp_path / "model")
    (folder / "epochs").mkdir()
    extra = [write_model(folder, "extra.keras"), write_model(folder / "epochs", "1.keras")]
    status, states = run("seal", folder)
    assert (status, states) == (0, {str(path): "sealed" for path in (folder, *extra)})
    assert run("verify", folder) == (0, states)
    assert run("unseal", folder) == (0, dict.fromkeys(states, "unsealed"))


def test_files_of_a_set_are_not_named_beside_it(home: Path, models: Path) -> None:
    write_keras_directory(models / "directory")
    write_orbax(models / "orbax")
    write_checkpoint(models, "step")
    write_shards(models)
    names = ["big.weights.json", "step", "directory", "orbax"]
    expected = [str(models / name) for name in names]
    assert [found.path for found in model_files([str(models)])] == expected
    assert run("seal", models)[0] == 0
    assert [found.path for found in model_files([str(models)])] == expected
    assert run("verify", models) == (0, dict.fromkeys(expected, "sealed"))


def test_place_where_a_saved_model_keeps_its_seal_is_no_model(home: Path, models: Path) -> None:
    folder = write_saved_model(models / "deep" / "saved")
    for command, state in (("seal", "sealed"), ("verify", "sealed"), ("inspect", "not-checked")):
        assert run(command, models) == (0, {str(folder): state})
        assert run(command, folder)[0] == 0
    assert run("reseal", models) == (0, {str(folder): "resealed"})
    assert run("unseal", models) == (0, {str(folder): "unsealed"})


def test_keras_directory_where_a_saved_model_keeps_its_seal_is_not_hidden(
    home: Path, models: Path
) -> None:
    """A directory may have any name, that of the seal's place too."""
    folder = write_saved_model(models / "saved")
    inner = write_keras_directory(folder / "assets.extra")
    api.seal(inner)
    rot(inner / "model.weights.h5")
    for top in (models, folder, inner):
        status, states = run("verify", top)
        assert (status, states[str(inner)]) == (1, "damaged")
    (inner / "config.json").unlink()
    assert run("verify", models)[0] == run("verify", folder)[0] == 1


def test_part_of_a_set_with_a_seal_of_its_own_is_checked_and_never_changed(
    home: Path, tmp_path: Path
) -> None:
    folder = write_keras_directory(tmp_path / "model")
    weights = folder / "model.weights.h5"
    api.seal(weights)
    api.seal(folder)
    before = weights.read_bytes()
    assert run("verify", folder) == (0, {str(folder): "sealed", str(weights): "sealed"})
    for command in ("reseal", "unseal", "seal"):
        status, states = run(command, folder)
        assert (status, states[str(weights)]) == (0, "skipped")
    assert weights.read_bytes() == before
    assert run("verify", folder)[0] == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_finds_the_same(home: Path, models: Path, command: str) -> None:
    write_keras_directory(models / "directory")
    write_checkpoint(models / "deep", "step")
    write_model(models, "m.keras")
    (models / "link.keras").symlink_to("m.keras")
    (models / "linked").symlink_to("deep", target_is_directory=True)
    expected = {"m.keras", "directory", "deep/step", "link.keras", "linked"}
    assert set(run(command, models)[1]) == {str(models / name) for name in expected}


@pytest.mark.parametrize("command", ["seal", "sign", "unseal", "reseal"])
def test_no_command_writes_through_a_link_that_it_meets(
    home: Path, models: Path, tmp_path: Path, command: str
) -> None:
    models.mkdir()
    outside = write_model(tmp_path, "outside.keras")
    directory = write_keras_directory(tmp_path / "outside")
    if command != "seal":
        for path in (outside, directory):
            api.seal(path)
    before = outside.read_bytes(), sorted(os.listdir(directory))
    (models / "link.keras").symlink_to(outside)
    (models / "linked").symlink_to(directory, target_is_directory=True)
    status, states = run(command, models)
    assert status == 0
    assert set(states.values()) == {"skipped"}
    assert (outside.read_bytes(), sorted(os.listdir(directory))) == before


@pytest.mark.parametrize("change", ["seal", "unseal", "reseal"])
@pytest.mark.parametrize("swapped", ["model", "directory above"])
def test_link_put_there_after_the_search_leads_to_nothing_that_is_changed(
    home: Path, models: Path, tmp_path: Path, change: str, swapped: str
) -> None:
    (models / "below").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    mine = write_model(tmp_path / "mine", "m.keras")
    folder = write_keras_directory(tmp_path / "mine" / "whole")
    write_model(models / "below", "m.keras")
    write_keras_directory(models / "below" / "whole")
    if change != "seal":
        for path in (mine, folder, models / "below" / "m.keras", models / "below" / "whole"):
            api.seal(path)
    before = mine.read_bytes(), sorted(os.listdir(folder))
    found = list(model_files([str(models)]))
    assert len(found) == 2
    links = [models / "below"] if swapped != "model" else [Path(one.path) for one in found]
    for link in links:
        link.rename(models / f"old {link.name}")
        link.symlink_to(tmp_path / "mine" if swapped != "model" else tmp_path / "mine" / link.name)
    act = partial(api.reseal, reason="x") if change == "reseal" else getattr(api, change)
    for one in found:
        with (
            pytest.raises(kih.UnreadableFileError, match="since it was found"),
            confinement.confined_to(one.place),
        ):
            act(one.path)
    assert (mine.read_bytes(), sorted(os.listdir(folder))) == before


def test_what_lies_below_a_named_link_is_changed(home: Path, models: Path, tmp_path: Path) -> None:
    write_keras_directory(models / "whole")
    write_model(models, "m.keras")
    write_checkpoint(models / "deep", "step")
    named = tmp_path / "named"
    named.symlink_to(models, target_is_directory=True)
    status, states = run("seal", f"{named}//")
    assert (status, set(states.values())) == (0, {"sealed"})
    assert len(states) == 3


def test_named_links_are_followed(home: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path, "outside.keras")
    folder = write_keras_directory(tmp_path / "outside")
    links = [tmp_path / "link.keras", tmp_path / "linked"]
    for link, target in zip(links, (model, folder), strict=True):
        link.symlink_to(target)
    assert run("seal", *links) == (0, {str(link): "sealed" for link in links})
    assert run("verify", model, folder)[0] == 0


def test_damage_behind_a_link_is_found(home: Path, models: Path, tmp_path: Path) -> None:
    models.mkdir()
    folder = write_keras_directory(tmp_path / "outside")
    api.seal(folder)
    (models / "linked").symlink_to(folder, target_is_directory=True)
    assert run("verify", models) == (0, {str(models / "linked"): "sealed"})
    rot(folder / "model.weights.h5")
    assert run("verify", models) == (1, {str(models / "linked"): "damaged"})


def test_links_in_a_circle_end_and_are_told(home: Path, models: Path) -> None:
    models.mkdir()
    write_model(models, "m.keras")
    (models / "again").symlink_to(models, target_is_directory=True)
    (models / "self.keras").symlink_to("self.keras")
    status, states = run("verify", models)
    assert status == 1
    assert states[str(models / "again")] == "skipped"
    assert states[str(models / "self.keras")] == "unreadable"


def test_directory_of_nothing_but_a_linked_one_does_not_pass(home: Path, models: Path) -> None:
    models.mkdir()
    (models / "elsewhere").symlink_to("/", target_is_directory=True)
    assert run("verify", models)[0] == 1


@pytest.fixture
def unreadable(models: Path) -> Iterator[Path]:
    if os.geteuid() == 0:
        pytest.skip("root can read every directory")
    folder = models / "secret"
    folder.mkdir(parents=True)
    folder.chmod(0)
    yield folder
    folder.chmod(0o755)


def test_directory_with_an_unreadable_part_does_not_pass(
    home: Path, models: Path, unreadable: Path
) -> None:
    write_model(models, "m.keras")
    status, states = run("verify", models)
    assert (status, states[str(unreadable)]) == (1, "unreadable")


@pytest.fixture
def deep(models: Path) -> Iterator[Path]:
    """Deeper than Python recurses, and deeper than a path can be long."""
    models.mkdir()
    folder = os.open(models, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=folder)
        below = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    yield models
    # Nothing in Python removes this one.
    subprocess.run(["rm", "-rf", models], check=True)


def test_deep_directories_are_searched_and_end(home: Path, deep: Path) -> None:
    write_model(deep, "m.keras")
    found = list(model_files([str(deep)]))
    assert [item.path for item in found if item.error is None] == [str(deep / "m.keras")]
    assert [item.error.code for item in found if item.error is not None] == ["unreadable"]


def test_endless_directory_is_an_error(
    home: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.mkdir()
    for number in range(20):
        write_model(models, f"{number}.keras")
    module = "keras_integrity_hook.fleet.discovery.LIMITS"
    monkeypatch.setattr(module, LIMITS._replace(tree_entries=10))
    found = list(model_files([str(models)]))
    assert [item.error.code for item in found if item.error] == ["limit-exceeded"]


def test_loaded_kinds_are_still_told_by_their_form(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "step")
    (tmp_path / "step.data-00000-of-00001").unlink()
    assert recognise(str(tmp_path / "step")) is not None
    assert recognise(str(tmp_path / "w.weights.json")) is not None


def test_roles_are_told(home: Path, models: Path) -> None:
    models.mkdir()
    write_model(models, "m.keras")
    (models / "link.keras").symlink_to("m.keras")
    roles = {os.path.basename(found.path): found.role for found in model_files([str(models)])}
    assert roles == {"m.keras": Role.MODEL, "link.keras": Role.LINK}
