# SPDX-License-Identifier: Apache-2.0
"""What the docs tell people to write and to type is right, docs/security-teams.md most of all."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from keras_integrity_hook.cli import main
from keras_integrity_hook.settings import advice, layers, toml_file
from keras_integrity_hook.settings.choices import Require
from keras_integrity_hook.settings.schema import KEYS
from keras_integrity_hook.settings.toml_file import Layer, PolicyFile
from keras_integrity_hook.signing import trust_file
from tests.security import rows

ROOT = Path(__file__).resolve().parent.parent.parent
FLEET = "fleet.toml"  # the machine's, before it is put in place
PAGE, SECURITY = ROOT / "docs" / "security-teams.md", ROOT / "SECURITY.md"

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="the docs are not beside the tests")


class Example(NamedTuple):
    """A TOML file on the page, and the table that explains it."""

    path: str
    text: str
    explained: str

    def parsed(self) -> PolicyFile:
        machine = self.path == FLEET
        layer = Layer.MACHINE if machine else Layer.USER if "~" in self.path else Layer.PROJECT
        path = "/home/me/project/integrity.toml" if layer is Layer.PROJECT else self.path
        return toml_file.parse(self.text.encode(), path, layer)


def examples(name: str) -> list[Example]:
    """The TOML files on the page that are called ``name``."""
    text = PAGE.read_text() if PAGE.exists() else ""
    blocks = re.findall(r"^ *```toml\n(.*?)^ *```\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    found = [Example(re.findall(r"# (\S+)", block)[0], block, after) for block, after in blocks]
    return [example for example in found if example.path.endswith(name)]


def policies() -> list[Example]:
    return [*examples("policy.toml"), *examples("integrity.toml"), *examples(FLEET)]


def by_path(path: str) -> Example:
    return next(example for example in policies() if example.path.startswith(path))


def test_there_are_three_policies() -> None:
    assert [example.path for example in policies()] == [
        "~/.config/keras-integrity/policy.toml",
        "integrity.toml",
        FLEET,
    ]


@pytest.mark.parametrize("example", policies(), ids=lambda example: example.path)
def test_a_policy_on_the_page_is_in_order(example: Example) -> None:
    policy = example.parsed()
    assert policy.entries
    assert policy.rules
    assert list(advice.on(policy)) == []


@pytest.mark.parametrize("example", policies(), ids=lambda example: example.path)
def test_every_line_is_explained(example: Example) -> None:
    for key in re.findall(r"^(\w+) =", example.text, re.M):
        assert re.search(rf"^\|[^|]*`{key}`", example.explained, re.M), key


def test_the_fleet_cannot_be_talked_out_of_it() -> None:
    policy = by_path(FLEET).parsed()
    # What an attacker who owns the service's account would set.
    mine = toml_file.parse(
        b'mode = "off"\nrequire = "nothing"\nallow_override = true\ndownloads = "encrypted"\n'
        b'[[rules]]\npath = "**/*.keras"\nrequire = "nothing"\nmodel = "fake"\n',
        "/home/service/policy.toml",
        Layer.USER,
    )
    found = layers.Layers((mine, policy), policy, {})
    settings = layers.resolve(found, "/srv/models/fraud/model.keras")
    assert settings.mode.value == "enforce"
    assert settings.require is Require.SIGNED
    assert (settings.signers, settings.threshold) == (("release-2026", "risk-2026"), 2)
    assert (settings.model, settings.minimum_version) == ("fraud", "2.3.0")
    assert settings.allow_override is False
    assert settings.downloads.value == "hashed"
    assert settings.audit_required is True


def test_the_trust_file_on_the_page_is_in_order() -> None:
    [example] = examples("trust.toml")
    text = "\n".join(line.strip() for line in example.text.splitlines())
    trusted = trust_file.parse(text.encode(), example.path)
    assert trusted.revoked_models
    assert trusted.revoked_keys


def commands() -> set[str]:
    """Every ``keras-integrity …`` in code in the docs, as typed."""
    pages = (SECURITY, *sorted(PAGE.parent.glob("*.md")))
    text = "".join(page.read_text() for page in pages if page.exists())
    spans = re.findall(r"`(?:sudo )?(keras-integrity [^`]+)`", text)
    blocks = "".join(re.findall(r"^ *```(?:sh|console)\n(.*?)^ *```", text, re.M | re.S))
    blocks = blocks.replace("\\\n", " ")  # lines that go on
    lines = re.findall(r"^ *(?:\$ )?(?:sudo )?(keras-integrity .+)$", blocks, re.M)
    return {found.partition(" #")[0].partition("|")[0] for found in (*spans, *lines)}


def test_every_command_on_the_pages_exists() -> None:
    assert len(commands()) > 50
    for typed in commands():
        command: click.Command = main
        words = shlex.split(typed)[1:]
        context = click.Context(main)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(context, words.pop(0))
            assert found is not None, typed
            command = found
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options | {"--help"}, typed


def table_of_threats() -> list[str]:
    """The lines of the table in SECURITY.md."""
    return SECURITY.read_text().partition("| Threat |")[2].partition("\n\n")[0].splitlines()[2:]


def test_every_threat_in_the_table_has_its_tests_in_order() -> None:
    threats = [row.split("|")[1].strip() for row in table_of_threats()]
    assert len(threats) == len(rows.TESTS)
    assert all(row.startswith(words) for row, words in zip(threats, rows.TESTS, strict=True))
    there = "".join(file.read_text() for file in Path(__file__).parent.parent.glob("**/test_*.py"))
    for tests in rows.TESTS.values():
        assert tests
        assert [name for name in tests if f"def {name}(" not in there] == []


@pytest.mark.parametrize("page", sorted(PAGE.parent.glob("*.md")), ids=lambda page: page.name)
def test_every_block_of_toml_json_and_yaml_is_well_formed(page: Path) -> None:
    blocks = re.findall(r"^( *)```(toml|json|yaml)\n(.*?)^ *```", page.read_text(), re.M | re.S)
    for indent, kind, block in blocks:
        text = re.sub(f"^{indent}", "", block, flags=re.M)
        if kind == "toml":
            tomllib.loads(text)
            continue
        if kind == "yaml":
            pytest.importorskip("yaml").safe_load(text)
            continue
        whole = text.strip().startswith("{\n")
        for document in [text] if whole else text.splitlines():
            json.loads(document)


def test_every_setting_in_the_table_of_threats_exists() -> None:
    needs = " ".join(row.split("|")[3] for row in table_of_threats())
    named = set(re.findall(r"`(\w+)(?: = [^`]*)?`", needs)) - {"allow_opt_out"}
    assert len(named) > 8
    assert named <= set(KEYS)


def test_security_md_does_not_say_that_there_are_no_keys() -> None:
    assert "has no key" not in SECURITY.read_text()
