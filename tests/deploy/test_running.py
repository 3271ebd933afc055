# SPDX-License-Identifier: Apache-2.0
"""The commands of deploy/ as they stand there, run on models that Keras has exported: a good one is
served, a damaged one never.

What is changed of a command is the directory that it writes to; for those that read a bucket there
is one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook import api
from keras_integrity_hook.fleet.admitting import ADMITTED
from tests.deploy.documents import DEPLOY, SERVERS, checked, documents, pods, tool, unit_lines
from tests.support.buckets import Bucket, s3_server
from tests.support.models import archive_bytes, write_model
from tests.support.processes import ARM, cli, environment

pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside the tests")

EXPORT = """
import sys, keras
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
model.export(sys.argv[1], verbose=False)
"""


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``model.export`` of a real Keras wrote under the hook: a sealed SavedModel."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    pytest.importorskip("keras", reason="Keras is not installed")
    home = tmp_path_factory.mktemp("exported")
    (home / "start").mkdir()
    (home / "start" / "sitecustomize.py").write_text(ARM)
    subprocess.run(
        [sys.executable, "-c", EXPORT, home / "model"],
        env=environment(str(home / "start")),
        check=True,
        capture_output=True,
    )
    assert api.verify(home / "model").state == "sealed"
    return home / "model"


@pytest.fixture
def models(exported: Path, tmp_path: Path) -> Path:
    """A model as TensorFlow Serving and OpenVINO look for it."""
    shutil.copytree(exported, tmp_path / "models" / "fraud" / "1")
    return tmp_path / "models"


def damage(models: Path) -> None:
    """Change one bit of the weights."""
    (weights,) = models.rglob("variables.data-*")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)


def served(target: Path) -> list[str]:
    """The files that a server finds in the directory that it reads."""
    found = [one for one in target.rglob("*") if one.is_file() and one.name != ADMITTED]
    return sorted(str(one.relative_to(target)) for one in found)


def of_server(name: str) -> list[str]:
    """The arguments of the init container that stands before a server."""
    (pod,) = pods(DEPLOY / "kubernetes" / f"{name}.yaml")
    arguments: list[str] = pod["initContainers"][0]["args"]
    return arguments


@pytest.mark.parametrize("server", SERVERS)
def test_an_init_container_lets_a_good_model_be_served_and_a_damaged_one_never(
    server: str, models: Path, tmp_path: Path
) -> None:
    if server == "triton":
        as_triton_has_it(models)
    arguments = replaced(of_server(server), {"s3://models/": f"{models}/", "/models": "served"})
    good = cli(*arguments, cwd=tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    assert "saved_model.pb" in " ".join(served(tmp_path / "served"))
    shutil.rmtree(tmp_path / "served")
    damage(models)
    bad = cli(*arguments, cwd=tmp_path)
    assert bad.returncode == 1
    assert "variables.data-00000-of-00001" in bad.stdout
    assert served(tmp_path / "served") == []


@pytest.mark.parametrize("name", ["fleet-scan-cronjob", "fleet-seal-job"])
def test_a_job_works_in_volumes_as_kubernetes_gives_them(
    name: str, models: Path, tmp_path: Path
) -> None:
    """An ``emptyDir`` is everybody's to write, with no sticky bit; a claim has ``lost+found``."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    scratch, results = tmp_path / "scratch", tmp_path / "results"
    for place, mode in ((scratch, 0o777), (results, 0o2777), (results / "lost+found", 0o700)):
        place.mkdir()
        place.chmod(mode)
    (pod, *_) = pods(DEPLOY / "kubernetes" / f"{name}.yaml")
    (container,) = pod["containers"]
    script = container["args"][0] if "command" in container else None
    line = script or shlex.join(["keras-integrity", *container["args"]])
    for there, here in (("s3://models/", models), ("/results", results)):
        line = line.replace(there, str(here))
    program = f"{shlex.quote(sys.executable)} -m keras_integrity_hook.cli"
    variables = environment(HOME=str(scratch), TMPDIR=str(scratch))

    def run() -> subprocess.CompletedProcess[str]:
        told = line.replace("keras-integrity ", f"{program} ")
        return subprocess.run(
            ["sh", "-c", told], env=variables, capture_output=True, text=True, check=False
        )

    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (results / "report.html").exists() == ("report" in line)
    if script is not None:
        damage(models)
        assert run().returncode == 1


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """The bucket that deploy/ names, on a server of S3."""
    for package in ("moto", "s3fs", "boto3"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    with s3_server(tmp_path) as (endpoint, log):
        yield Bucket(endpoint, "models", log)


def test_an_init_container_fetches_from_its_bucket_and_refuses_what_is_damaged_there(
    bucket: Bucket, models: Path, tmp_path: Path
) -> None:
    """The arguments as they stand in the manifest, but for the volume."""
    arguments = ["served" if one == "/models" else one for one in of_server("tensorflow-serving")]

    def run() -> subprocess.CompletedProcess[str]:
        for path in models.rglob("*"):
            if path.is_file():
                bucket.write(f"serving/{path.relative_to(models)}", path.read_bytes())
        return cli(*arguments, env=environment(**bucket.environment), cwd=tmp_path)

    damage(models)
    refused = run()
    assert refused.returncode == 1
    assert "s3://models/serving/fraud/1" in refused.stdout
    assert served(tmp_path / "served") == []
    damage(models)
    assert run().returncode == 0
    assert "fraud/1/saved_model.pb" in served(tmp_path / "served")


def replaced(arguments: list[str], places: dict[str, str]) -> list[str]:
    """``arguments`` with other places for the bucket and for the volume."""
    told = [places.get(one, one) for one in arguments]
    return [places["s3://models/"] if one.startswith("s3://") else one for one in told]


def as_triton_has_it(models: Path) -> None:
    shutil.move(models / "fraud" / "1", models / "whole")
    (models / "fraud" / "1").mkdir()
    shutil.move(models / "whole", models / "fraud" / "1" / "model.savedmodel")
    (models / "fraud" / "config.pbtxt").write_text('platform: "tensorflow_savedmodel"\n')


def test_a_program_beside_a_model_of_triton_is_not_served(models: Path, tmp_path: Path) -> None:
    as_triton_has_it(models)
    (models / "fraud" / "1" / "model.py").write_text("import os\n")
    places = {"s3://models/": str(models), "/models": "served"}
    done = cli(*replaced(of_server("triton"), places), cwd=tmp_path)
    assert done.returncode == 1
    assert "model.py" in done.stdout
    assert served(tmp_path / "served") == []


def test_the_step_of_kserve_fetches_what_the_service_names(models: Path, tmp_path: Path) -> None:
    """KServe adds the model's URI, and where it is to go."""
    (step,) = documents(DEPLOY / "kserve" / "storage-container.yaml")
    command = step["spec"]["container"]["command"]
    done = cli(*command[1:], str(models / "fraud"), "mnt", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1/saved_model.pb" in served(tmp_path / "mnt")


def test_the_unit_before_a_server_keeps_what_was_good(models: Path, tmp_path: Path) -> None:
    (line,) = unit_lines(DEPLOY / "systemd" / "keras-integrity-admit.service", "ExecStart")
    places = {"SOURCE": str(models), "STATE_DIRECTORY": str(tmp_path / "state")}
    for name, value in places.items():
        line = line.replace(f"${{{name}}}", shlex.quote(value))
    arguments = shlex.split(line)[1:]
    target = tmp_path / "state" / "admitted"
    assert cli(*arguments).returncode == 0
    before = served(target)
    damage(models)
    assert cli(*arguments).returncode == 1
    assert served(target) == before


class TestAction:
    @pytest.fixture
    def program(self, tmp_path: Path) -> str:
        """What the step before would have installed."""
        script = tmp_path / "keras-integrity"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m keras_integrity_hook.cli "$@"\n')
        script.chmod(0o755)
        return str(script)

    def run(self, program: str, work: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
        """The step that checks, with these inputs, as a runner starts it."""
        (action,) = documents(DEPLOY / "github" / "action.yml")
        step = action["runs"]["steps"][-1]
        given = {name: one.get("default", "") for name, one in action["inputs"].items()} | inputs
        variables = {
            name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")]
            for name, value in step["env"].items()
            if "inputs." in value
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=work,
            env=environment(**variables, PROGRAM=program),
            capture_output=True,
            text=True,
            check=False,
        )

    def test_good_models_pass_and_leave_reports(self, program: str, tmp_path: Path) -> None:
        api.seal(write_model(tmp_path, "a model.keras"))
        done = self.run(program, tmp_path, paths="a model.keras\n", sarif="reports")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(os.listdir(tmp_path / "reports")) == ["scan.sarif", "verify.sarif"]
        runs = [json.loads(one.read_text())["runs"] for one in (tmp_path / "reports").iterdir()]
        # Code scanning refuses an upload with two runs of one tool and one category.
        categories = {one["automationDetails"]["id"] for (one,) in runs}
        assert categories == {"keras-integrity/scan/", "keras-integrity/verify/"}

    def test_a_damaged_model_fails_the_job(self, program: str, tmp_path: Path) -> None:
        model = write_model(tmp_path, "model.keras")
        api.seal(model)
        model.write_bytes(model.read_bytes().replace(b"Sequential", b"sequential"))
        done = self.run(program, tmp_path, paths="model.keras")
        assert done.returncode == 1
        assert "damaged" in done.stdout

    def test_a_policy_of_the_repository_counts(self, program: str, tmp_path: Path) -> None:
        write_model(tmp_path, "model.keras")
        (tmp_path / "policy.toml").write_text('unsealed = "reject"\n')
        policy = str(tmp_path / "policy.toml")
        assert self.run(program, tmp_path, paths="model.keras").returncode == 0
        assert self.run(program, tmp_path, paths="model.keras", policy=policy).returncode == 1

    def test_a_path_is_no_command_and_no_option(self, program: str, tmp_path: Path) -> None:
        done = self.run(program, tmp_path, paths="$(touch taken)\n`touch taken`\n--help")
        assert done.returncode == 1
        assert not (tmp_path / "taken").exists()


class TestHooks:
    @pytest.fixture
    def repository(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Where a hook runs: at the top of a repository."""
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def run(self, command: str, *files: str) -> subprocess.CompletedProcess[str]:
        """A hook as pre-commit starts it, with files that were changed."""
        (hook,) = [one for one in self.hooks() if one["id"] == f"keras-integrity-{command}"]
        module = shlex.split(hook["entry"])
        assert module[0] == "python"
        return subprocess.run(
            [sys.executable, *module[1:], *hook["args"], *files],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def hooks(self) -> list[dict[str, Any]]:
        (found,) = documents(DEPLOY.parent / ".pre-commit-hooks.yaml")
        assert isinstance(found, list)
        return found

    def test_a_commit_without_a_model_passes_unseen(self, repository: Path) -> None:
        (repository / "train.py").write_text("import keras\n")
        done = self.run("verify", "train.py")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_a_damaged_model_is_not_committed(self, repository: Path) -> None:
        model = write_model(repository, "model.keras")
        api.seal(model)
        assert self.run("verify", "model.keras", "train.py").returncode == 0
        model.write_bytes(model.read_bytes().replace(b"Sequential", b"sequential"))
        assert self.run("verify", "model.keras", "train.py").returncode == 1

    def test_a_file_of_a_set_stands_for_the_set(self, repository: Path, models: Path) -> None:
        damage(models)
        (weights,) = models.rglob("variables.data-*")
        done = self.run("verify", str(weights.relative_to(repository)))
        assert done.returncode == 1
        assert "models/fraud/1" in done.stdout

    def test_a_model_that_runs_code_is_not_committed(self, repository: Path) -> None:
        config = b'{"class_name": "Lambda", "module": "os", "config": {"function": "system"}}'
        (repository / "model.keras").write_bytes(archive_bytes(config=config))
        assert self.run("scan", "model.keras").returncode == 1


@pytest.mark.nightly
class TestWholeTools:
    """Tools that install the package: they need an index, and half a minute each."""

    def test_pre_commit_stops_a_damaged_model(self, tmp_path: Path) -> None:
        program = tool("pre-commit")
        hooks, repository = tmp_path / "hooks", tmp_path / "repository"
        rubbish = shutil.ignore_patterns(
            ".*", "build", "*.egg-info", "__pycache__", "tests", "docs"
        )
        shutil.copytree(DEPLOY.parent, hooks, ignore=rubbish)
        shutil.copy(DEPLOY.parent / ".pre-commit-hooks.yaml", hooks)
        repository.mkdir()
        model = write_model(repository, "model.keras")
        api.seal(model)
        for folder in (hooks, repository):
            committed(folder)
        command = (program, "try-repo", hooks, "keras-integrity-verify", "--all-files")
        cache = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "cache")}
        checked(*command, cwd=repository, env=cache)
        model.write_bytes(model.read_bytes().replace(b"Sequential", b"sequential"))
        committed(repository)
        done = subprocess.run(command, cwd=repository, env=cache, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"damaged: config.json" in done.stdout

    def test_ansible_brings_package_and_policy_and_checks_the_models(self, tmp_path: Path) -> None:
        """Everything but the units and their user, which are the machine's."""
        program = tool("ansible-playbook")
        if os.geteuid() != 0:
            pytest.skip("the playbook gives files to root")
        play = tmp_path / "deploy" / "ansible"
        shutil.copytree(DEPLOY / "ansible", play)
        python = [sys.executable, "-m", "pip"]
        checked(*python, "wheel", "-q", "-w", play / "wheels", DEPLOY.parent)
        listed = [
            f"./wheels/{one.name} --hash=sha256:{hashlib.sha256(one.read_bytes()).hexdigest()}"
            for one in sorted((play / "wheels").iterdir())
        ]
        (play / "integrity.txt").write_text("\n".join(listed) + "\n")
        (play / "policy.toml").write_text('unsealed = "reject"\n')
        (play / "trust.toml").write_text("")
        (tmp_path / "models").mkdir()
        model = write_model(tmp_path / "models", "model.keras")
        api.seal(model)
        places = {"home": "home", "etc": "etc", "models": "models", "units": "units"}
        given = [f"keras_integrity_{name}={tmp_path / place}" for name, place in places.items()]
        command = (program, "-i", "localhost,", "-c", "local", "--skip-tags", "units")
        here = ("ansible_become=false", f"ansible_python_interpreter={sys.executable}")
        variables = [f"-e{one}" for one in (*here, *given)]
        clean = {**os.environ, "ANSIBLE_HOME": str(tmp_path / "ansible"), "LC_ALL": "C.UTF-8"}
        clean["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*command, *variables, play / "keras-integrity.yaml"],
                env=clean,
                capture_output=True,
                text=True,
                check=False,
            )

        done = run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "etc" / "policy.toml").read_text() == 'unsealed = "reject"\n'
        (play / "policy.toml").write_text('unsealed = "perhaps"\n')
        assert run().returncode != 0
        assert (tmp_path / "etc" / "policy.toml").read_text() == 'unsealed = "reject"\n'
        (play / "policy.toml").write_text('unsealed = "reject"\n')
        model.write_bytes(model.read_bytes().replace(b"Sequential", b"sequential"))
        bad = run()
        assert bad.returncode != 0
        assert "damaged" in bad.stdout


def committed(folder: Path) -> None:
    """Put all that is in ``folder`` into a commit."""
    who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        checked("git", *command, cwd=folder)
