# SPDX-License-Identifier: Apache-2.0
"""Configurations in JSON: what Keras would import, call, open and allocate for each."""

from __future__ import annotations

from collections.abc import Iterator

from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.sealing.content import Content


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """The findings in one file of JSON."""
    yield from ()
