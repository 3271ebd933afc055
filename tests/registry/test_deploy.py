# SPDX-License-Identifier: Apache-2.0
"""The files in deploy/ start the service with options that it has, as who they say."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("fastapi")

from keras_integrity_hook.cli.registry_serve import serve

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNIT = DEPLOY / "keras-integrity-registry.service"


def understood(arguments: list[str]) -> dict[str, Any]:
    """The options that ``registry serve`` reads from a command line; a usage error otherwise."""
    assert arguments[:1] == ["serve"]
    with serve.make_context("serve", arguments[1:]) as context:
        return context.params


def unit_lines(name: str) -> list[str]:
    lines = UNIT.read_text().splitlines()
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def test_the_unit_starts_the_service_as_a_plain_user_at_its_socket() -> None:
    (command,) = unit_lines("ExecStart")
    program, *arguments = shlex.split(command)
    assert program == "/opt/keras-integrity/bin/keras-integrity"
    assert arguments[0] == "registry"
    options = understood(arguments[1:])
    variables = dict(one.split("=", 1) for one in unit_lines("Environment"))
    assert {options["url"], options["service_key"]} == {f"${{{name}}}" for name in variables}
    assert options["unix"].startswith(f"/run/{unit_lines('RuntimeDirectory')[0]}/")
    assert unit_lines("Type") == ["notify"]
    assert unit_lines("User") == ["keras-registry"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "keras-integrity"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text().replace("/opt/keras-integrity/bin/keras-integrity", str(program))
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert ours == []


def test_compose_starts_the_service_with_options_that_it_has_and_secrets_that_it_gets() -> None:
    document = compose()
    service = document["services"]["registry"]
    options = understood(service["command"])
    assert options["url"].startswith("postgresql+psycopg://registry@database/")
    mounted = {f"/run/secrets/{name}" for name in service["secrets"]}
    wanted = {options["service_key"], options["tls_cert"], options["tls_key"]}
    assert wanted | {service["environment"]["PGPASSFILE"]} == mounted
    assert set(document["secrets"]) == {
        name for one in document["services"].values() for name in one["secrets"]
    }
    assert service["ports"] == [f"8750:{options['port']}"]
    assert service["read_only"] is True


def test_compose_asks_the_container_for_its_health_in_python_that_runs() -> None:
    _, program, flag, source = compose()["services"]["registry"]["healthcheck"]["test"]
    assert (program, flag) == ("python", "-c")
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(
        [sys.executable, "-c", source.replace("8750", "1")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Connection refused" in done.stderr


def test_the_image_has_the_command_that_compose_continues() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert 'ENTRYPOINT ["keras-integrity", "registry"]' in lines
    assert not any(line.startswith("USER 0") or line == "USER root" for line in lines)
    assert any(line.startswith("USER ") for line in lines)
