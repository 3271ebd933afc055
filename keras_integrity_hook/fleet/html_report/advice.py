# SPDX-License-Identifier: Apache-2.0
"""What to do next, the most urgent first, each with the command that does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keras_integrity_hook.fleet.findings import Outcome, State
from keras_integrity_hook.fleet.html_report.summary import Summary
from keras_integrity_hook.texts import for_shell, plural

_NAMED = 4  # locations in a command; a longer one is no help


class Step(NamedTuple):
    """One thing to do.

    Attributes:
        title: what, with the number of models; a sentence without a stop.
        why: what it is good for, and how.
        command: that does it or shows more; empty where a person has to act.
        is_urgent: whether somebody may be hurt meanwhile.
        anchor: the section that lists the models; empty where none does.
    """

    title: str
    why: str
    command: str = ""
    is_urgent: bool = False
    anchor: str = ""


def steps(told: Summary, directory: str) -> list[Step]:
    """What the findings ask for; one step that says so where they ask for nothing.

    Args:
        directory: where the results are, for commands.
    """
    found = [*_urgent(told), *_coverage(told, directory), *_upkeep(told, directory)]
    if found:
        return found
    why = "Every model is sealed, signed and passes. Let the audit run again by a timer."
    return [Step("Nothing is to be done", why)]


def _urgent(told: Summary) -> Iterator[Step]:
    if count := told.state(State.DAMAGED):
        yield Step(
            f"Restore {_models(count, 'damaged')} from a trusted copy",
            "The bytes are not those that were sealed. Find out who could write there; where there "
            "are several, treat it as an incident.",
            is_urgent=True,
            anchor="damaged",
        )
    if told.dangerous.count:
        yield Step(
            f"Keep {_models(told.dangerous.count, 'dangerous')} from being loaded",
            "Only an attack does what the inspection found there. Take them out of reach, and ask "
            "where they came from.",
            "keras-integrity rules",
            is_urgent=True,
            anchor="dangerous",
        )
    if told.refused.count:
        yield Step(
            f"Look at {_models(told.refused.count, 'refused')}",
            "They are whole, and the policy does not let them pass: the reasons are counted below, "
            "each with its remedy.",
            is_urgent=True,
            anchor="refused",
        )


def _coverage(told: Summary, directory: str) -> Iterator[Step]:
    if count := told.state(State.UNSEALED):
        yield Step(
            f"Seal {_models(count, 'unsealed')} that you trust",
            "Until then a change of theirs goes unnoticed. A seal says what a model is from now "
            "on, not that it was good until now.",
            _fleet("seal", told, directory),
            anchor="unsealed",
        )
    if told.unsigned:
        yield Step(
            f"Sign {_models(told.unsigned, 'sealed')} that nobody has signed who is trusted",
            "A seal alone shows damage. Whoever may write the model can also write its seal; not "
            "so a signature.",
            _fleet("sign", told, directory) + " --key KEY",
        )
    if told.unregistered:
        yield Step(
            f"Register {_models(told.unregistered, '')} that the registry does not know",
            "Only what it knows can be recalled.",
            "keras-integrity registry register PATH",
        )


def _upkeep(told: Summary, directory: str) -> Iterator[Step]:
    if told.expired:
        yield Step(
            f"Seal {_models(told.expired, '')} again, or remove them",
            "Their seals have ended: nobody vouches for them any more.",
            "keras-integrity reseal --reason TEXT PATH",
            anchor="oldest",
        )
    if told.expiring:
        yield Step(
            f"Renew {plural(told.expiring, 'seal')} that end within 30 days",
            "After that day the models are refused.",
            "keras-integrity reseal --reason TEXT PATH",
            anchor="oldest",
        )
    if count := told.outcome(Outcome.REVIEW):
        yield Step(
            f"Read what the inspection found in {_models(count, '')}",
            "They carry code or refer to other files. Name what you trust in the setting "
            "allowed_objects.",
            anchor="findings",
        )
    if told.failed.count:
        yield Step(
            f"Find out why {plural(told.failed.count, 'location')} could not be examined",
            "Nobody knows how the models are that may be there.",
            _fleet("scan", told, directory),
            anchor="failed",
        )


def _models(count: int, kind: str) -> str:
    return plural(count, f"{kind} model".strip())


def _fleet(verb: str, told: Summary, directory: str) -> str:
    named = told.run.locations
    shown = map(for_shell, named) if 0 < len(named) <= _NAMED else ["URL..."]
    return f"keras-integrity fleet {verb} {' '.join(shown)} --out {for_shell(directory)}"
