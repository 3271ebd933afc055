# SPDX-License-Identifier: Apache-2.0
"""Times as seals, events and what is remembered spell them: compared as texts, so one spelling."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from keras_integrity_hook.sealing.statement import moment, spelled


def test_a_moment_is_read_as_it_was_spelt() -> None:
    at = datetime(2027, 6, 9, 1, 2, 3, tzinfo=UTC)
    assert spelled(at) == "2027-06-09T01:02:03Z"
    assert moment(spelled(at)) == at


@pytest.mark.parametrize(
    "spelt",
    [
        "2027-06- 9T01:02:03Z",
        "2027-6-09T01:02:03Z",
        "2027-06-09T1:02:03Z",
        "2027-06-09t01:02:03z",
        "2027-06-0\N{ARABIC-INDIC DIGIT NINE}T01:02:03Z",
        "2027-06-09T01:02:03Z\n",
        "2027-06-31T01:02:03Z",
        "2027-06-09T01:02:03+00:00",
        "",
    ],
)
def test_another_spelling_of_a_moment_is_none(spelt: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of a regular expression, or of datetime
        moment(spelt)
