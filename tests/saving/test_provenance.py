# SPDX-License-Identifier: Apache-2.0
"""What a seal says of its model besides the bytes, and whom it asks for it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.saving import git
from keras_integrity_hook.sealing import envelope, statement
from tests.support import model_kinds
from tests.support.models import CONTAINERS, write_model
from tests.support.processes import cli, document

DIGEST = "sha256:" + "ab" * 32
KINDS = [*model_kinds.FILES, *model_kinds.SETS, "legacy.h5"]


def build(keras: Any, name: str | None = None) -> Any:
    layers = [keras.layers.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2)]
    return keras.Sequential(layers, name=name)


def save(model: Any, path: Path) -> kih.SealInfo:
    if path.name == "legacy.h5":
        model.save(path)
    else:
        model_kinds.save(model, path)
    return said(path)


def said(path: Path) -> kih.SealInfo:
    report = kih.verify(path)
    assert report.seal is not None
    return report.seal


@pytest.mark.parametrize("name", KINDS)
def test_what_is_stated_stands_in_the_seal(keras: Any, tmp_path: Path, name: str) -> None:
    with kih.provenance(name="churn", version="1.2.0", datasets={"train.csv": DIGEST}, run="42"):
        seal = save(build(keras), tmp_path / name)
    assert (seal.model, seal.model_version) == ("churn", "1.2.0")
    assert seal.datasets == {"train.csv": DIGEST}
    assert seal.provenance["run"] == "42"
    assert seal.provenance["keras"] == keras.__version__


def test_an_inner_block_adds_and_has_the_last_word(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    other = "sha512:" + "CD" * 64
    with (
        kih.provenance(
            name="a", version="1", datasets={"x": DIGEST, "y": DIGEST}, one="1", two="2"
        ),
        kih.provenance(version="2", datasets={"y": other}, two="3"),
    ):
        seal = kih.seal(path).seal
    assert seal is not None
    assert (seal.model, seal.model_version) == ("a", "2")
    assert seal.datasets == {"x": DIGEST, "y": other.lower()}
    assert (seal.provenance["one"], seal.provenance["two"]) == ("1", "3")


def test_nothing_is_left_after_the_block(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    with pytest.raises(ZeroDivisionError), kih.provenance(name="a", run="1"):
        raise ZeroDivisionError
    seal = kih.seal(path).seal
    assert seal is not None
    assert seal.model is None
    assert "run" not in seal.provenance


def test_threads_and_tasks_state_their_own(tmp_path: Path) -> None:
    barrier = threading.Barrier(2)

    def work(name: str) -> None:
        path = write_model(tmp_path, f"{name}.keras")
        with kih.provenance(name=name):
            barrier.wait(100)
            kih.seal(path)
            barrier.wait(100)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    async def task(name: str) -> None:
        path = write_model(tmp_path, f"{name}.keras")
        with kih.provenance(name=name):
            await asyncio.sleep(0)
            kih.seal(path)

    async def both() -> None:
        await asyncio.gather(task("c"), task("d"))

    asyncio.run(both())
    assert [said(tmp_path / f"{name}.keras").model for name in "abcd"] == list("abcd")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 3},
        {"name": ""},
        {"name": "a\nb"},
        {"version": " "},
        {"version": "1" * 256},
        {"run": 42},
        {"run": "a\x1b[2J"},
        {"run": "\ud800"},
        {"run": "x" * 1025},
        {"k" * 65: "x"},
        {"a\nb": "x"},
        {"git": "0" * 40 + " clean"},
        {"python": "3.99"},
        {"resealed": "never"},
        {f"fact{n}": "x" for n in range(65)},
        {"datasets": ["train.csv"]},
        {"datasets": {"train.csv": "ab" * 32}},
        {"datasets": {"train.csv": "md5:" + "ab" * 16}},
        {"datasets": {"train.csv": "sha256:" + "ab" * 31}},
        {"datasets": {"train.csv": "sha256:" + "zz" * 32}},
        {"datasets": {"train.csv": 7}},
        {"datasets": {"": DIGEST}},
        {"datasets": {str(n): DIGEST for n in range(1025)}},
    ],
)
def test_what_cannot_be_stated_is_refused_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(kih.ConfigurationError) as caught, kih.provenance(**wrong):
        pytest.fail("the block was entered")
    assert caught.value.in_one_line().isprintable()
    assert "nothing was written" in str(caught.value)


def test_the_most_that_can_be_stated_loads_again(keras: Any, tmp_path: Path) -> None:
    facts = {f"{n:064}": "é" * 1024 for n in range(64)}
    datasets = {f"{n:01024}": "sha512:" + "ab" * 64 for n in range(1024)}
    for name in ("model.keras", "legacy.h5"):
        with kih.provenance(name="n" * 255, datasets=datasets, **facts):
            seal = save(build(keras), tmp_path / name)
        assert seal.datasets == datasets
        assert facts.items() <= seal.provenance.items()
        keras.models.load_model(tmp_path / name)


@pytest.mark.parametrize(
    "name", [*model_kinds.FILES, "legacy.h5", "directory", "shards.weights.json"]
)
def test_a_model_with_a_name_is_sealed_under_it(keras: Any, tmp_path: Path, name: str) -> None:
    assert save(build(keras, "churn"), tmp_path / name).model == "churn"


def test_a_name_that_keras_made_up_is_none(keras: Any, tmp_path: Path) -> None:
    class MyNet(keras.Sequential):
        pass

    inputs = keras.Input((8,))
    models = [
        build(keras),
        build(keras),
        keras.Model(inputs, keras.layers.Dense(2)(inputs)),
        MyNet([keras.Input((8,)), keras.layers.Dense(2)]),
    ]
    for number, model in enumerate(models):
        assert save(model, tmp_path / f"{number}.weights.h5").model is None, model.name


def test_name_precedence(keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(keras, "by-keras")
    monkeypatch.setenv("KERAS_INTEGRITY_MODEL", "by-policy")
    monkeypatch.setenv("KERAS_INTEGRITY_MODEL_VERSION", "7")
    seal = save(model, tmp_path / "a.weights.h5")
    assert (seal.model, seal.model_version) == ("by-policy", "7")
    monkeypatch.delenv("KERAS_INTEGRITY_MODEL")
    with kih.provenance(name="by-block", version="8"):
        seal = save(model, tmp_path / "b.weights.h5")
    assert (seal.model, seal.model_version) == ("by-block", "8")


def test_a_rule_for_the_path_names_the_model_saved_there(
    keras: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"
    rule = f'[[rules]]\npath = "{tmp_path}/churn*"\nmodel = "churn"\nmodel_version = "3"\n'
    policy.write_text(rule)  # not for the private place where a save writes first
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(policy))
    for name in ("churn.keras", "churn.h5", "churn.weights.h5", "churn.weights.json"):
        path = tmp_path / name
        model_kinds.save(build(keras), path) if name != "churn.h5" else build(keras).save(path)
        assert said(path).model_version == "3", name
    keras.saving.save_model(build(keras), tmp_path / "churn-directory", zipped=False)
    model_kinds.export(build(keras), tmp_path / "churn-saved-model")
    for name in ("churn-directory", "churn-saved-model"):
        assert said(tmp_path / name).model == "churn", name
    build(keras).save(tmp_path / "other.keras")
    assert said(tmp_path / "other.keras").model is None


def test_a_backup_is_sealed_under_the_name_of_its_model(keras: Any, tmp_path: Path) -> None:
    import numpy as np

    model = build(keras, "churn")
    model.compile("sgd", "mse")
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "b"), delete_checkpoint=False)
    model.fit(np.ones((4, 8)), np.ones((4, 2)), verbose=0, callbacks=[backup])
    assert said(next(tmp_path.rglob("training_metadata.json"))).model == "churn"


def test_tf_keras_names_its_models_too(keras: Any, tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")
    for number, (given, found) in enumerate([("churn", "churn"), (None, None)]):
        model = tf_keras.Sequential([tf_keras.Input((8,)), tf_keras.layers.Dense(2)], name=given)
        for suffix in (".keras", "", ".weights.h5"):
            path = tmp_path / f"{number}{suffix}"
            model.save_weights(path) if "weights" in suffix else model.save(path)
            assert said(path).model == found, path
    inputs = tf_keras.Input((8,))
    functional = tf_keras.Model(inputs, tf_keras.layers.Dense(2)(inputs))
    functional.save(tmp_path / "functional.keras")
    assert said(tmp_path / "functional.keras").model is None, functional.name


def test_who_and_where_only_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    plain = kih.seal(write_model(tmp_path, "a.keras")).seal
    assert plain is not None
    assert not {"user", "host", "git"} & set(plain.provenance)
    monkeypatch.setenv("KERAS_INTEGRITY_PROVENANCE", "user,host")
    asked = kih.seal(write_model(tmp_path, "b.keras")).seal
    assert asked is not None
    import pwd

    assert asked.provenance["user"] == pwd.getpwuid(os.geteuid()).pw_name != "somebody-else"
    assert asked.provenance["host"] == os.uname().nodename
    assert "git" not in asked.provenance


def test_a_seal_expires_when_the_policy_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    monkeypatch.setenv("KERAS_INTEGRITY_VALID_FOR", "30d")
    seal = kih.seal(write_model(tmp_path, "model.keras")).seal
    assert seal is not None
    assert (seal.created, seal.expires) == ("2023-11-14T22:13:20Z", "2023-12-14T22:13:20Z")


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_seal_without_data_is_spelt_as_ever(tmp_path: Path, name: str) -> None:
    path = write_model(tmp_path, name)
    kih.seal(path)
    assert b"datasets" not in payload(path)
    kih.unseal(path)
    with kih.provenance(datasets={"d": DIGEST}):
        kih.seal(path)
    assert json.loads(payload(path))["predicate"]["datasets"] == {"d": DIGEST}


def payload(path: Path) -> bytes:
    from keras_integrity_hook.containers.opening import open_model

    with open_model(path) as model:
        assert model.seal is not None
        return envelope.decode(envelope.encode(model.seal.envelope)).payload


@pytest.mark.parametrize("wrong", [[], "x", {"a": 1}, {"a": None}])
def test_malformed_datasets_in_a_seal_are_refused(tmp_path: Path, wrong: Any) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    value = json.loads(payload(path))
    value["predicate"]["datasets"] = wrong
    from keras_integrity_hook.sealing import canonical

    with pytest.raises(kih.MalformedSealError):
        statement.decode(canonical.encode(value))


def test_inspect_shows_name_version_facts_and_data(tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    with kih.provenance(name="churn", version="1.2", datasets={"train.csv": DIGEST}, run="42"):
        kih.seal(path)
    done = cli("inspect", path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["model", "churn", "1.2"] in lines
    assert ["run", "42"] in lines
    assert ["data", "train.csv", DIGEST] in lines
    seal = document(cli("inspect", "--json", path))["results"][0]["report"]["seal"]
    assert (seal["model"], seal["model_version"]) == ("churn", "1.2")
    assert seal["datasets"] == {"train.csv": DIGEST}


class TestGit:
    """The commit of the working directory, without running what its repository says."""

    @pytest.fixture
    def repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        home, top = tmp_path / "home", tmp_path / "repository"
        home.mkdir()
        (top / "sub").mkdir(parents=True)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
        run(top, "init", "-q")
        run(top, "config", "user.name", "n")
        run(top, "config", "user.email", "n@example.org")
        (top / "train.py").write_text("pass\n")
        run(top, "add", ".")
        run(top, "commit", "-qm", "first")
        return top

    def test_clean_and_dirty(self, repository: Path) -> None:
        commit = run(repository, "rev-parse", "HEAD")
        assert git.state(str(repository / "sub")) == f"{commit} clean"
        (repository / "untracked").write_text("x")
        assert git.state(str(repository)) == f"{commit} clean"
        (repository / "train.py").write_text("fail\n")  # the same size, within the same second
        assert git.state(str(repository)) == f"{commit} dirty"
        run(repository, "add", ".")
        assert git.state(str(repository)) == f"{commit} dirty"

    def test_sha256_repositories_worktrees_and_submodules(
        self, repository: Path, tmp_path: Path
    ) -> None:
        run(repository, "worktree", "add", "-q", str(tmp_path / "tree"))
        commit = run(repository, "rev-parse", "HEAD")
        assert git.state(str(tmp_path / "tree")) == f"{commit} clean"
        other = tmp_path / "sha256"
        other.mkdir()
        run(other, "init", "-q", "--object-format=sha256")
        identity = ("-c", "user.name=n", "-c", "user.email=n@example.org")
        run(other, *identity, "commit", "-q", "--allow-empty", "-m", "x")
        assert git.state(str(other)) == f"{run(other, 'rev-parse', 'HEAD')} clean"
        source = ("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository))
        outer = tmp_path / "outer"
        outer.mkdir()
        run(outer, "init", "-q")
        run(outer, *source, "inner")
        run(outer, *identity, "commit", "-qm", "x")
        assert str(git.state(str(outer))).endswith(" clean")

    def test_reaches_the_seal(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KERAS_INTEGRITY_PROVENANCE", "git")
        monkeypatch.chdir(repository)
        seal = kih.seal(write_model(tmp_path, "model.keras")).seal
        assert seal is not None
        assert seal.provenance["git"] == f"{run(repository, 'rev-parse', 'HEAD')} clean"

    def test_nothing_a_hostile_repository_names_is_run(
        self, repository: Path, tmp_path: Path
    ) -> None:
        mark = tmp_path / "ran"
        program = f"touch {mark}; cat"
        for key in (
            "core.fsmonitor",
            "core.pager",
            "core.editor",
            "core.sshCommand",
            "core.askPass",
            "diff.external",
            "filter.x.clean",
            "filter.x.process",
            "filter.x.smudge",
            "uploadpack.packObjectsHook",
            "gpg.program",
            "alias.status",
            "alias.rev-parse",
        ):
            run(repository, "config", key, f"!{program}" if key.startswith("alias") else program)
        run(repository, "config", "core.hooksPath", str(tmp_path))
        (tmp_path / "post-index-change").write_text(f"#!/bin/sh\ntouch {mark}\n")
        (tmp_path / "post-index-change").chmod(0o755)
        (repository / ".git" / "info" / "attributes").write_text("* filter=x\n")
        later = time.time() + 60
        os.utime(repository / "train.py", (later, later))
        assert str(git.state(str(repository))).endswith(" clean")
        assert not mark.exists()
        # The trap is a real one: git itself walks into it.
        subprocess.run(["git", "status"], cwd=repository, capture_output=True, check=False)
        assert mark.exists()

    def test_a_filter_of_the_users_own_is_not_run_either(
        self, repository: Path, tmp_path: Path
    ) -> None:
        mark = tmp_path / "ran"
        run(repository, "config", "--global", "filter.mine.clean", f"touch {mark}; cat")
        (repository / ".gitattributes").write_text("* filter=mine\n")
        os.utime(repository / "train.py", (1, 1))
        assert git.state(str(repository)) is not None
        assert not mark.exists()

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make another user's repository")
    def test_the_repository_of_another_user_says_nothing(self, repository: Path) -> None:
        for path in (repository, repository / ".git"):
            os.chown(path, 12345, 12345)
        assert git.state(str(repository)) is None

    def test_the_environment_cannot_point_elsewhere(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "plain").mkdir()
        monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
        monkeypatch.setenv("GIT_WORK_TREE", str(repository))
        assert git.state(str(tmp_path / "plain")) is None

    def test_no_git_no_repository_no_commit_no_answer(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert git.state(str(tmp_path)) is None
        assert git.state(str(tmp_path / "missing")) is None
        (tmp_path / "fresh").mkdir()
        run(tmp_path / "fresh", "init", "-q")
        assert git.state(str(tmp_path / "fresh")) is None
        programs = tmp_path / "programs"
        programs.mkdir()
        monkeypatch.setenv("PATH", str(programs))
        assert git.state(str(repository)) is None
        (programs / "git").write_text("#!/bin/sh\nexec /bin/sleep 1000\n")
        (programs / "git").chmod(0o755)
        monkeypatch.setattr(git, "_SECONDS", 0.2)
        assert git.state(str(repository)) is None


def run(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=directory, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()
