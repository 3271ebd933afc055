# SPDX-License-Identifier: Apache-2.0
"""The records of an error that the pages show have the fields that an error has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import keras_integrity_hook as kih
from tests.support.documents import ROOT, pages
from tests.support.models import write_model

pytestmark = pytest.mark.skipif(not pages(), reason="the docs are not beside the tests")


def shown_on(page: str) -> list[dict[str, Any]]:
    """Each error of a damaged model in the JSON on ``page``."""
    blocks = re.findall(r"^```json\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    found = []
    for block in blocks:
        for text in [block] if block.startswith("{\n") else block.splitlines():
            record = json.loads(text)
            error = record.get("error") or record.get("facts", {}).get("error") or {}
            found += [error] if error.get("code") == "checksum-mismatch" else []
    return found


@pytest.mark.parametrize("page", ["docs/audit.md", "docs/json-output.md"])
def test_an_error_is_shown_with_all_its_fields(page: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, "model.keras")
    kih.seal(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(kih.ChecksumMismatchError) as caught:
        kih.verify(path)
    real = caught.value.to_dict()
    assert shown_on(page)
    for error in shown_on(page):
        assert error.keys() == real.keys()
        assert error["evidence"].keys() == real["evidence"].keys()
