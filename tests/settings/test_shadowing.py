# SPDX-License-Identifier: Apache-2.0
"""A rule that never decides anything is found, and none is called so that does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_integrity_hook.settings import advice, patterns, shadowing, toml_file
from keras_integrity_hook.settings.toml_file import Layer, PolicyFile

# Few characters and all wildcards, so that many patterns have much in common.
_PATTERNS = st.lists(
    st.sampled_from(["a", "b", "/", "*", "?", "**", "**/", "/**", "[ab]", "[!a]"]), max_size=7
).map(lambda pieces: "/" + "".join(pieces))
_PATHS = st.text("ab/", max_size=8).map(lambda text: "/" + text)
_NAMES = st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]"]), min_size=1, max_size=4).map(
    "".join
)


def policy(*paths: str, layer: Layer = Layer.PROJECT, top: str = "") -> PolicyFile:
    rules = "".join(f'[[rules]]\npath = "{path}"\nrequire = "sealed"\n' for path in paths)
    return toml_file.parse((top + rules).encode(), f"/nowhere/{layer.value}.toml", layer)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/**", "/models/x.keras"),
        ("**", "/models/**"),
        ("*", "hf://somebody/model"),
        ("**/*", "/models/*.keras"),
        ("/**", "*.keras"),
        ("*.keras", "/models/**/*.keras"),
        ("*.keras", "model-?.keras"),
        ("/models/**", "/models"),
        ("/models/**", "/models/[ab]/*.h5"),
        ("/models/*", "/models/?.h5"),
        ("/models/**/*.h5", "/models/x/y/*.h5"),
        ("/models/**/*.h5", "/models/*.h5"),
        ("/models/[ab]", "/models/a"),
        ("/models/a", "/models/a"),
    ],
)
def test_a_rule_behind_a_wider_one_is_found(first: str, second: str) -> None:
    assert shadowing.covers(first, second)
    [(rule, wider)] = shadowing.shadowed([policy(first, second)])
    assert (wider.origin, rule.origin) == tuple(
        f"/nowhere/project.toml, line {line}" for line in (2, 5)
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/models/x.keras", "/**"),
        ("/models/*", "/models/**"),
        ("/models/**", "/model"),
        ("/models/*.keras", "*.keras"),
        ("/models/[ab]", "/models/?"),
        ("*.h5", "/models/**"),
        ("/models/*/*.h5", "/models/**/*.h5"),
    ],
)
def test_a_rule_that_has_paths_of_its_own_is_not_called_useless(first: str, second: str) -> None:
    assert not shadowing.covers(first, second)
    assert list(shadowing.shadowed([policy(first, second)])) == []


@given(first=_PATTERNS | _NAMES, second=_PATTERNS | _NAMES, path=_PATHS)
def test_no_path_of_a_covered_pattern_escapes_the_wider_one(
    first: str, second: str, path: str
) -> None:
    if patterns.matches(second, path) and shadowing.covers(first, second):
        assert patterns.matches(first, path)


def test_a_link_that_leads_out_of_the_wider_rule_keeps_the_narrow_one_in_use(
    tmp_path: Path,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "team").symlink_to(tmp_path / "elsewhere")
    wide, narrow = f"{tmp_path}/models/**", f"{tmp_path}/models/team/*"
    assert not shadowing.covers(wide, narrow)
    (tmp_path / "models" / "team").unlink()
    assert shadowing.covers(wide, narrow)


def test_a_nearer_file_hides_the_rules_of_those_after_it() -> None:
    near, far = policy("/**"), policy("/models/**", layer=Layer.USER)
    [note] = advice.on_order([near, far])
    assert "/nowhere/user.toml" in note
    assert "/nowhere/project.toml" in note


def test_a_locked_rule_of_the_machine_is_hidden_by_nobody_elses() -> None:
    near = policy("/**")
    machine = policy("/models/**", layer=Layer.MACHINE, top='lock = ["require"]\n')
    assert list(advice.on_order([near, machine])) == []
    twice = policy("/**", "/models/**", layer=Layer.MACHINE, top='lock = ["require"]\n')
    assert len(list(advice.on_order([near, twice]))) == 1
