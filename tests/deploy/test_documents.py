# SPDX-License-Identifier: Apache-2.0
"""Each file in deploy/ is understood by the tool that will read it, and asks for no more than it
needs."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_integrity_hook.history import directories
from tests.deploy.documents import (
    DEPLOY,
    KUBERNETES,
    ROOT,
    SERVERS,
    UNITS,
    checked,
    commands,
    containers,
    documents,
    pods,
    tool,
    understood,
    unit_lines,
)

pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="deploy/ is not beside the tests")


def kserve_types() -> dict[str, dict[str, str]]:
    """The fields of each type of KServe's and the types of those, as its SDK has them.

    Its modules are read and not imported: they need all that a server of models needs.
    """
    found = importlib.util.find_spec("kserve")
    if found is None or not found.submodule_search_locations:
        pytest.skip("kserve is not installed (pip install --no-deps kserve)")
    types: dict[str, dict[str, str]] = {}
    for path in Path(found.submodule_search_locations[0], "models").glob("*.py"):
        for made in ast.parse(path.read_text()).body:
            if isinstance(made, ast.ClassDef):
                tables = {
                    ast.unparse(one.targets[0]): ast.literal_eval(one.value)
                    for one in made.body
                    if isinstance(one, ast.Assign) and isinstance(one.value, ast.Dict)
                }
                if "attribute_map" in tables:
                    spelt, of = tables["attribute_map"], tables["openapi_types"]
                    types[made.name] = {spelt[name]: of[name] for name in spelt}
    return types


def unknown_fields(value: Any, kind: str, known: dict[str, dict[str, str]]) -> Iterator[str]:
    """The paths of what no type of KServe's has; what is of another's type is not looked into."""
    if kind.startswith("list["):
        for one in value:
            yield from unknown_fields(one, kind[5:-1], known)
    elif kind in known:
        for name, inner in value.items():
            if name not in known[kind]:
                yield name
            else:
                below = unknown_fields(inner, known[kind][name], known)
                yield from (f"{name}.{one}" for one in below)


class TestTools:
    def test_kubernetes_knows_every_field(self) -> None:
        checked(tool("kubernetes-validate"), "--strict", *KUBERNETES)

    @pytest.mark.parametrize(
        ("path", "kind"),
        [
            ("inference-service.yaml", "V1beta1InferenceService"),
            ("storage-container.yaml", "V1alpha1ClusterStorageContainer"),
        ],
    )
    def test_kserve_knows_every_field(self, path: str, kind: str) -> None:
        (document,) = documents(DEPLOY / "kserve" / path)
        known = kserve_types()
        assert list(unknown_fields(document, kind, known)) == []
        document["spec"]["another"] = 1
        assert list(unknown_fields(document, kind, known)) == ["spec.another"]

    def test_docker_files_are_clean(self) -> None:
        checked(tool("hadolint"), DEPLOY / "Dockerfile", DEPLOY / "image" / "Dockerfile")

    @pytest.mark.parametrize(
        ("schema", "path"),
        [
            ("vendor.compose-spec", "compose.yaml"),
            ("vendor.compose-spec", "serving/compose.yaml"),
            ("vendor.github-actions", "github/action.yml"),
            ("vendor.github-workflows", "github/workflow.yaml"),
        ],
    )
    def test_documents_are_of_their_schema(self, schema: str, path: str) -> None:
        checked(tool("check-jsonschema"), "--builtin-schema", schema, DEPLOY / path)

    def test_actionlint_understands_the_workflow(self) -> None:
        checked(tool("actionlint"), DEPLOY / "github" / "workflow.yaml")

    def test_the_hooks_are_hooks_of_pre_commit(self) -> None:
        checked(tool("pre-commit"), "validate-manifest", ROOT / ".pre-commit-hooks.yaml")

    def test_ansible_understands_the_playbook(self, tmp_path: Path) -> None:
        playbook = DEPLOY / "ansible" / "keras-integrity.yaml"
        environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        program = tool("ansible-playbook")
        checked(program, "--syntax-check", "-i", "host,", playbook, env=environment)

    @pytest.mark.nightly
    def test_ansible_lint_has_nothing_against_the_playbook(self, tmp_path: Path) -> None:
        program = tool("ansible-lint")
        environment = {**os.environ, "ANSIBLE_HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        environment["PATH"] = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
        playbook = DEPLOY / "ansible" / "keras-integrity.yaml"
        arguments = ("--offline", "--profile", "production", "--strict")
        checked(program, *arguments, playbook, env=environment, cwd=tmp_path)

    def test_systemd_understands_the_units(self, tmp_path: Path) -> None:
        program = tmp_path / "keras-integrity"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        for unit in UNITS:
            text = unit.read_text().replace(
                "/opt/keras-integrity/bin/keras-integrity", f"{program}"
            )
            (tmp_path / unit.name).write_text(text)
        done = subprocess.run(
            [tool("systemd-analyze"), "verify", *(tmp_path / unit.name for unit in UNITS)],
            capture_output=True,
            text=True,
            check=False,
        )
        told = (done.stdout + done.stderr).splitlines()
        assert [line for line in told if line.startswith("keras-integrity-")] == []

    @pytest.mark.parametrize("path", ["github/action.yml", "kubernetes/fleet-scan-cronjob.yaml"])
    def test_shellcheck_has_nothing_against_the_scripts(self, path: str, tmp_path: Path) -> None:
        program = tool("shellcheck")
        for number, (shell, text) in enumerate(scripts(DEPLOY / path)):
            script = tmp_path / f"{number}.sh"
            script.write_text(text)
            checked(program, "--shell", shell, script)


def scripts(path: Path) -> list[tuple[str, str]]:
    """The scripts in a document, each with the shell that runs it."""
    if path.parent.name == "github":
        return [(one["shell"], one["run"]) for one in documents(path)[0]["runs"]["steps"]]
    shells = [one for pod in pods(path) for one in containers(pod) if "command" in one]
    return [("sh", one["args"][0]) for one in shells]


def test_every_command_has_the_options_that_it_is_given() -> None:
    found = list(commands())
    assert len(found) > 10
    for place, arguments in found:
        assert understood(arguments), place


class TestKubernetes:
    @pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
    def test_nothing_runs_as_root_or_can_become_it(self, path: Path) -> None:
        found = list(pods(path))
        assert found
        for pod in found:
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            assert pod["automountServiceAccountToken"] is False
            for one in containers(pod):
                assert one["securityContext"]["allowPrivilegeEscalation"] is False
                assert one["securityContext"]["capabilities"] == {"drop": ["ALL"]}

    @pytest.mark.parametrize("server", SERVERS)
    def test_a_server_reads_what_was_admitted_and_cannot_write_it(self, server: str) -> None:
        (pod,) = pods(DEPLOY / "kubernetes" / f"{server}.yaml")
        (admit,), (serving,) = pod["initContainers"], pod["containers"]
        target = understood(admit["args"])["target"]
        assert mounts(admit)[target] == {"name": "models", "mountPath": target}
        assert mounts(serving) == {
            target: {"name": "models", "mountPath": target, "readOnly": True}
        }
        (volume,) = [one for one in pod["volumes"] if one["name"] == "models"]
        assert "emptyDir" in volume
        assert any(target in argument for argument in serving["args"])

    @pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
    def test_policy_and_keys_are_single_files_that_no_link_leads_to(self, path: Path) -> None:
        """Links are not followed on the way to the machine's policy: a ConfigMap that is mounted as
        a directory consists of them."""
        for pod in pods(path):
            ours = [one for one in containers(pod) if "keras-integrity" in one["image"]]
            assert ours
            for one in ours:
                for name in ("policy.toml", "trust.toml"):
                    mount = mounts(one)[f"/etc/keras-integrity/{name}"]
                    assert mount["subPath"] == name
                    assert mount["readOnly"] is True

    def test_a_refusal_fails_the_audit_at_once_and_a_kill_goes_on(self) -> None:
        (cronjob, *_) = documents(DEPLOY / "kubernetes" / "fleet-scan-cronjob.yaml")
        job = cronjob["spec"]["jobTemplate"]["spec"]
        (rule,) = job["podFailurePolicy"]["rules"]
        (container,) = job["template"]["spec"]["containers"]
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"]["values"] == [1, 2]
        assert rule["onExitCodes"]["containerName"] == container["name"]
        assert "--resume" in container["args"][0]
        assert job["backoffLimit"] > 0


def mounts(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["mountPath"]: one for one in container["volumeMounts"]}


class TestElsewhere:
    def test_kserve_gives_the_models_to_our_step_for_the_uris_that_the_service_has(self) -> None:
        (step,) = documents(DEPLOY / "kserve" / "storage-container.yaml")
        (service,) = documents(DEPLOY / "kserve" / "inference-service.yaml")
        prefixes = [one["prefix"] for one in step["spec"]["supportedUriFormats"]]
        uri = service["spec"]["predictor"]["model"]["storageUri"]
        assert uri.startswith(tuple(prefixes))
        assert step["spec"]["workloadType"] == "initContainer"
        assert step["spec"]["container"]["command"] == ["keras-integrity", "admit"]

    def test_compose_starts_the_server_only_after_the_check_ended_well(self) -> None:
        services = yaml.safe_load((DEPLOY / "serving" / "compose.yaml").read_text())["services"]
        waits = services["server"]["depends_on"]["admit"]
        assert waits == {"condition": "service_completed_successfully"}
        assert services["server"]["volumes"] == ["admitted:/models:ro"]
        assert "admitted:/models" in services["admit"]["volumes"]
        files = [one for one in services["admit"]["volumes"] if isinstance(one, dict)]
        assert [one["target"] for one in files] == [
            "/etc/keras-integrity/policy.toml",
            "/etc/keras-integrity/trust.toml",
        ]
        assert all(one["read_only"] for one in files)
        assert not any(one["bind"]["create_host_path"] for one in files)

    def test_the_image_runs_the_commands_as_nobody(self) -> None:
        lines = (DEPLOY / "image" / "Dockerfile").read_text().splitlines()
        assert 'ENTRYPOINT ["keras-integrity"]' in lines
        assert "USER 65532:65532" in lines

    def test_images_are_built_of_what_the_package_is_made_of_and_of_no_secrets(self) -> None:
        """``COPY . .`` would bring the keys of ``deploy/secrets`` into an image on its way."""
        ignored = ROOT / ".dockerignore"
        if not ignored.exists():
            pytest.skip("no checkout")
        rules = [one for one in ignored.read_text().splitlines() if one and one[0] != "#"]
        assert rules[0] == "*"
        told = {one[1:] for one in rules if one.startswith("!")}
        assert told == {
            *("LICENSE", "README.md", "pyproject.toml", "setup.cfg", "setup.py", "man"),
            *("keras_integrity_hook", "keras_integrity_hook.pth", "keras_integrity_hook.start"),
        }
        assert all((ROOT / one).exists() for one in told)

    @pytest.mark.parametrize("unit", [one for one in UNITS if one.suffix == ".service"], ids=str)
    def test_a_unit_leaves_the_memory_of_the_machine_to_root(self, unit: Path) -> None:
        """systemd gives a ``StateDirectory``, and all in it, to the user of the unit."""
        (state,) = unit_lines(unit, "StateDirectory")
        assert not Path(directories.MACHINE).is_relative_to(Path("/var/lib", state))
        assert f"-{directories.MACHINE}" in unit_lines(unit, "ReadWritePaths")

    def test_a_server_of_this_host_is_not_started_where_the_check_fails(self) -> None:
        unit = DEPLOY / "systemd" / "keras-integrity-admit.service"
        assert unit_lines(unit, "RequiredBy") == unit_lines(unit, "Before")
        assert unit_lines(unit, "Type") == ["oneshot"]

    def test_inputs_of_the_action_are_no_part_of_a_script(self) -> None:
        (action,) = documents(DEPLOY / "github" / "action.yml")
        assert not [step for step in action["runs"]["steps"] if "${{" in step["run"]]
