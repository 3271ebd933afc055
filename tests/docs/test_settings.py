# SPDX-License-Identifier: Apache-2.0
"""The page about policies has the settings that there are, as they are."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from keras_integrity_hook.cli import main
from keras_integrity_hook.settings import explained
from keras_integrity_hook.settings.schema import KEYS
from tests.support.documents import ROOT, pages


def test_every_setting_is_explained() -> None:
    assert set(explained.MEANINGS) == set(KEYS)


@pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")
def test_the_page_has_every_setting_as_it_is() -> None:
    """Else put what ``python -m keras_integrity_hook.settings.explained`` prints in place of the
    table."""
    assert explained.table() in (ROOT / "docs/policy.md").read_text()


def test_a_setting_is_explained_in_a_terminal_without_marks_of_a_page() -> None:
    done = CliRunner().invoke(main, ["policy", "explain", "history", "registry_max_age"])
    assert done.exit_code == 0
    assert '"warn", "off", "enforce"  (loads)' in done.output
    assert "see history.md" in done.output
    assert '"1h"' in done.output
    assert "unsealed" not in done.output


def test_all_settings_are_explained_to_machines() -> None:
    done = CliRunner().invoke(main, ["policy", "explain", "--json"])
    answer = json.loads(done.output)
    assert [one["name"] for one in answer["settings"]] == list(KEYS)
    assert answer["settings"][0]["variable"] == "KERAS_INTEGRITY"


def test_a_setting_that_is_none_is_a_mistake_of_whoever_asks() -> None:
    done = CliRunner().invoke(main, ["policy", "explain", "histroy"])
    assert done.exit_code == 2
    assert "there is no setting 'histroy'" in done.output
