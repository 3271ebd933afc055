# SPDX-License-Identifier: Apache-2.0
"""The page about inspection has the rules that there are."""

from __future__ import annotations

import pytest

from keras_integrity_hook.cli import rules
from tests.support.documents import ROOT, pages

pytestmark = pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")


def test_the_page_has_every_rule_as_it_is() -> None:
    """Else put what ``python -m keras_integrity_hook.cli.rules`` prints in place of the table."""
    text = (ROOT / "docs/inspection.md").read_text()
    assert text.endswith(rules.table())
