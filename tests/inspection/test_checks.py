# SPDX-License-Identifier: Apache-2.0
"""Checks that another distribution brings: what they are given, and what becomes of bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keras_integrity_hook.errors import LimitExceededError
from keras_integrity_hook.inspection import checks
from keras_integrity_hook.inspection.checks import InspectedModel
from keras_integrity_hook.limits import LIMITS
from tests.support.processes import environment

CHECKS = """
from keras_integrity_hook.errors import DamagedFileError
from keras_integrity_hook.inspection.findings import Finding, Verdict

def says(rule="too-old", verdict=Verdict.REVIEW, **texts):
    given = dict(file="config.json", place="layer 'a'", construct="x", why="it is old", object="")
    return Finding(rule=rule, verdict=verdict, **{**given, **texts})

def reads(model):
    yield says(construct=f"{model.container} {dict(model.files)} {model.read('config.json', 1, 3)}")
def forges(model):
    return [says(place="\\x1b[2J", why="w" * 5000)]
def raises(model):
    raise ValueError("a bug in a check")
def leaves(model):
    raise SystemExit(0)
def never_ends(model):
    while True:
        yield says()
def gives_text(model):
    return ["refuse"]
def gives_numbers(model):
    return [says(why=5)]
def gives_a_sentence(model):
    return [says(rule="too old")]
def gives_a_word(model):
    return [says(verdict="harmless")]
def refuses(model):
    raise DamagedFileError("our own reason")
def inspects(model):
    from keras_integrity_hook.inspection import checks
    return [*checks.findings(model.path, model.container, lambda: {})]
number = 3
"""

FIND = """
import json, sys, warnings
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.inspection import checks

class Bytes:
    size = 5
    def read(self, offset, size):
        return b"abcde"[offset:offset + size]

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    try:
        found = [*checks.findings("m.keras", "keras-zip", lambda: {"config.json": Bytes()})]
    except IntegrityError as error:
        found = [error]
print(json.dumps([[one.to_dict() for one in found], [str(one.message) for one in told]]))
"""

Find = Callable[..., tuple[list[dict[str, Any]], list[str]]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """What is found where a distribution with these entry points is installed, and what is told."""

    def run(*entries: str, metadata: str = "") -> tuple[list[dict[str, Any]], list[str]]:
        site = tmp_path / "site"
        info = site / "ours-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "ours.py").write_text(CHECKS)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
        points = "".join(f"n{n} = {entry}\n" for n, entry in enumerate(entries))
        (info / "entry_points.txt").write_text(metadata or f"[{checks.GROUP}]\n{points}")
        done = subprocess.run(
            [sys.executable, "-c", FIND],
            env=environment(str(site)),
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found, told = json.loads(done.stdout)
        return found, told

    return run


def test_a_check_reads_the_model_and_its_finding_bears_its_name(find: Find) -> None:
    (found,), told = find("ours:reads")
    assert found == {
        "rule": "n0:too-old",
        "verdict": "review",
        "file": "config.json",
        "place": "layer 'a'",
        "construct": "keras-zip {'config.json': 5} b'bcd'",
        "why": "it is old",
        "object": "",
    }
    assert told == []


def test_all_checks_are_asked_in_the_order_of_their_names(find: Find) -> None:
    found, _ = find("ours:reads", "ours:raises", "ours:reads")
    assert [one["rule"] for one in found] == ["n0:too-old", "check-failed", "n2:too-old"]


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("ours:raises", "ValueError: a bug in a check"),
        ("ours:leaves", "SystemExit: 0"),
        ("ours:never_ends", "over 1,000 findings"),
        ("ours:gives_text", "gave str where a Finding is expected"),
        ("ours:gives_numbers", "int in a finding where text is expected"),
        ("ours:gives_a_word", "'harmless' is not a valid Verdict"),
        ("ours:gives_a_sentence", "'too old' is no rule"),
        ("ours:absent", "AttributeError"),
        ("ours:number", "is no function"),
        ("nowhere:check", "No module named 'nowhere'"),
        ("ours:inspects", "loads or inspects a model itself"),
    ],
)
def test_a_check_that_fails_is_told_and_refuses_the_model(find: Find, entry: str, why: str) -> None:
    (found,), told = find(entry)
    assert (found["rule"].rpartition(":")[2], found["verdict"]) == ("check-failed", "refuse")
    assert found["construct"] in {"n0", "n0:check-failed"}
    assert why in found["why"]
    assert any("the check n0 failed" in one for one in told)


def test_checks_that_cannot_be_looked_for_refuse_the_model(find: Find) -> None:
    (found,), _ = find(metadata=f"[{checks.GROUP}]\nno value here\n")
    assert (found["rule"], found["verdict"]) == ("check-failed", "refuse")


def test_text_of_a_check_is_escaped_and_cut(find: Find) -> None:
    (found,), _ = find("ours:forges")
    assert found["rule"] == "n0:too-old"
    assert found["place"] == r"\x1b[2J"
    assert len(found["why"]) == LIMITS.finding_text + 1


def test_an_error_that_a_check_raises_refuses_the_model_as_it_is(find: Find) -> None:
    (error,), _ = find("ours:refuses")
    assert (error["code"], error["message"]) == ("damaged-file", "our own reason")


def test_a_check_may_not_read_everything_at_once() -> None:
    class Large:
        size = LIMITS.check_read + 1

        def read_into(self, offset: int, buffer: memoryview) -> None:
            raise AssertionError

        def read(self, offset: int, size: int) -> bytes:
            return bytes(2)

    model = InspectedModel("m.keras", "keras-zip", {"model.weights.h5": Large()})
    with pytest.raises(LimitExceededError, match="reads 67,108,865 bytes"):
        model.read("model.weights.h5")
    assert model.read("model.weights.h5", LIMITS.check_read) == bytes(2)
    with pytest.raises(KeyError):
        model.read("other")


def test_nothing_of_a_model_is_opened_where_no_check_is_installed() -> None:
    def contents() -> dict[str, Any]:
        raise AssertionError

    assert list(checks.findings("m.keras", "keras-zip", contents)) == []
