# SPDX-License-Identifier: Apache-2.0
"""The files in deploy/, as what reads them reads them, and the commands that stand in them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from keras_integrity_hook.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted(DEPLOY.glob("kubernetes/*.yaml"))
SERVERS = ("tensorflow-serving", "triton", "openvino")
UNITS = sorted(DEPLOY.glob("systemd/*"))


def tool(name: str) -> str:
    """Where the program is: in the environment of the tests, or on the path; skips without it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def checked(*command: str | Path, **more: Any) -> str:
    """What a tool prints about a file that it has nothing against."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pods(path: Path) -> Iterator[dict[str, Any]]:
    """The pods that the resources of a file make."""
    for one in documents(path):
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield spec["template"]["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def unit_lines(path: Path, name: str) -> list[str]:
    """The values of a setting of a unit."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def understood(arguments: list[str]) -> dict[str, Any]:
    """The options that ``keras-integrity`` reads from a command line; a usage error otherwise."""
    command: click.Command = main
    context = click.Context(main, info_name="keras-integrity")
    while isinstance(command, click.Group):
        name, *arguments = arguments
        found = command.get_command(context, name)
        assert found is not None, f"there is no command '{name}'"
        command = found
    return command.make_context(command.name, list(arguments)).params


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command line of ours in deploy/ but the registry's: where it is, and its arguments."""
    for path in KUBERNETES:
        for pod in pods(path):
            for one in containers(pod):
                yield from _of_container(path.name, one)
    (storage,) = documents(DEPLOY / "kserve" / "storage-container.yaml")
    command = storage["spec"]["container"]["command"]
    yield "storage-container.yaml", [*command[1:], "s3://models/fraud", "/mnt/models"]
    compose = yaml.safe_load((DEPLOY / "serving" / "compose.yaml").read_text())
    yield "compose.yaml", compose["services"]["admit"]["command"]
    for unit in UNITS:
        for line in (*unit_lines(unit, "ExecStart"), *unit_lines(unit, "ExecStopPost")):
            yield unit.name, shlex.split(line)[1:]


def _of_container(where: str, one: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    if "keras-integrity" not in one["image"]:
        return
    if "command" not in one:
        yield where, one["args"]
        return
    assert one["command"] == ["/bin/sh", "-c"]
    for line in one["args"][0].splitlines():
        if line.startswith("keras-integrity "):
            yield where, shlex.split(line)[1:]
