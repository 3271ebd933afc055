# SPDX-License-Identifier: Apache-2.0
"""Every malicious model of the corpus is found, and nothing is said of any harmless one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_integrity_hook.inspection.findings import Verdict
from tests.inspection.corpus import malicious
from tests.inspection.corpus.case import Case
from tests.inspection.corpus.harmless.__main__ import PARTS
from tests.inspection.corpus.judging import judge
from tests.support.processes import environment

_SEVERITY = list(Verdict)
CASES = malicious.cases()
FORMATS = sorted({case.format for case in CASES})
_LEAST_HARMLESS = {"layers": 500, "compiled": 150, "operations": 200, "named": 90, "saved": 40}


def _missed(case: Case, folder: Path) -> str:
    """What is wrong with the verdict over ``case``; empty where nothing is."""
    found = judge(case.make(folder))
    if _SEVERITY.index(found.verdict) >= _SEVERITY.index(case.least):
        return ""
    return f"{case.name}: {found.verdict} where {case.least} is due: {found.reasons}"


@pytest.mark.parametrize("kind", FORMATS)
def test_every_malicious_model_is_found(kind: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.format == kind]
    missed = [_missed(case, tmp_path / str(number)) for number, case in enumerate(cases)]
    assert [one for one in missed if one] == []


def test_corpus_is_as_large_as_it_claims() -> None:
    counted = Counter(case.name for case in CASES)
    assert len(counted) == len(CASES) >= 700, counted.most_common(3)
    assert {case.advisory for case in CASES if case.advisory} == set(malicious.ADVISORIES)


def _write_harmless(folder: Path, *parts: str, **variables: str) -> None:
    """Let the libraries save their models; what is written is not sealed."""
    command = [sys.executable, "-m", "tests.inspection.corpus.harmless", str(folder), *parts]
    variables = {"KERAS_INTEGRITY": "off", **variables}
    done = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _false_alarms(folder: Path) -> list[str]:
    judged = {path: judge(path) for path in sorted(folder.iterdir()) if _is_model(path)}
    least = _LEAST_HARMLESS.get(folder.name, 1)
    assert len(judged) >= least, f"{len(judged)} models where {least} were expected"
    return [f"{path.name}: {one.reasons}" for path, one in judged.items() if one.findings]


def _is_model(path: Path) -> bool:
    is_shard = path.suffix == ".h5" and path.name.startswith("sharded_")
    return not is_shard and path.suffix != ".seal"


def _judge_part(part: str, folder: Path, **variables: str) -> None:
    _write_harmless(folder, part, **variables)
    assert _false_alarms(folder / part) == []


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that one process with Keras writes: importing it takes longer than most of them."""
    folder = tmp_path_factory.mktemp("harmless")
    _write_harmless(folder, *_OF_KERAS, CORPUS_FAST="1")
    return folder


_OF_KERAS = ("layers", "compiled", "operations", "saved", "named", "applications")


@pytest.mark.parametrize("part", _OF_KERAS)
def test_nothing_is_said_of_harmless_models(part: str, of_keras: Path) -> None:
    assert _false_alarms(of_keras / part) == []


def test_nothing_is_said_of_models_of_tf_keras(tmp_path: Path) -> None:
    _needs("tf_keras")
    _judge_part("older", tmp_path)


def test_nothing_is_said_of_presets_of_keras_hub(tmp_path: Path) -> None:
    _needs("keras_hub")
    _judge_part("presets", tmp_path)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", ["layers", "applications"])
def test_nothing_is_said_of_any_layer_or_application(part: str, tmp_path: Path) -> None:
    _judge_part(part, tmp_path)


def _needs(package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not there")


def test_every_part_of_the_harmless_corpus_is_judged() -> None:
    assert {*_OF_KERAS, "older", "presets"} == set(PARTS)
    assert "CORPUS_FAST" not in os.environ
