# SPDX-License-Identifier: Apache-2.0
"""The commands that would change what a page shows, to be copied.

An event that one signature is not enough for is made as a file, which goes from one to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from keras_integrity_hook.registry.events import Role, Roles
from keras_integrity_hook.registry.store import ModelRow, RecallRow, VersionRow
from keras_integrity_hook.texts import for_shell, listed
from keras_integrity_hook.versions import is_below

Words = tuple[str, ...]

_FILE = "event.json"
_ROLES = "roles.json"
_WHY = ("--reason", "TEXT")


class Step(NamedTuple):
    """One command, word by word as a shell takes it, and who runs it; empty where that is said."""

    who: str
    words: Words


class Command(NamedTuple):
    """What can be done, and how."""

    what: str
    steps: tuple[Step, ...]


def to_register(name: str = "NAME", version: str = "VERSION") -> Command:
    """Register a version of a model that is sealed."""
    words = ("register", "PATH", "--model", _word(name), "--version", version)
    return Command("Register a version", (Step("", _line(words)),))


def about_model(model: ModelRow, roles: Roles) -> list[Command]:
    """Register a version of it, and promote one."""
    named = (_word(model.name), "VERSION")
    return [
        to_register(model.name),
        *(
            _by(role, f"Promote one to {stage}", ("promote", *named, "--stage", _word(stage)))
            for stage, role in sorted(roles.stages.items())
        ),
    ]


def about_version(
    row: VersionRow, model: ModelRow, roles: Roles, recalls: Sequence[RecallRow]
) -> list[Command]:
    """What can be done with a version, of which ``recalls`` are in force."""
    named = (_word(row.model), row.version)
    withdrawals = [
        _by(roles.stages[stage], f"Withdraw it from {stage}", _withdraw(named, stage))
        for stage in row.stages
        if stage in roles.stages
    ]
    if recalls:
        return [*withdrawals, *(_back(one, roles) for one in recalls)]
    recall = _by(roles.recall, _RECALL, ("recall", *named, *_WHY))
    return [*_promotions(row, model, roles, named), *withdrawals, recall]


def about_content(digest: str, roles: Roles, recall: RecallRow | None) -> Command:
    """Recall a content, or take that back."""
    return _back(recall, roles) if recall else _by(roles.recall, _RECALL, _recall("root", digest))


def about_recalls(rows: Sequence[RecallRow], roles: Roles) -> list[Command]:
    """What no page of a version or a content is for: recall any, and take that of a key back."""
    key = "Recall a key that was lost or stolen: nothing that it signed is loaded any more"
    content = "Recall a content, registered or not: it is loaded nowhere any more"
    return [
        _by(roles.recall, key, _recall("key", "KEYID")),
        _by(roles.recall, content, _recall("root", "DIGEST")),
        *(_back(row, roles) for row in rows if row.kind == "key"),
    ]


def about_roles(roles: Roles) -> list[Command]:
    """Change who may do what."""
    draft = Step("", (*_line(("roles", "--json")), ">", _ROLES))
    return [
        Command("Have the roles as they are in a file, to be edited", (draft,)),
        _by(roles.administer, "Put what the file has in their place", ("roles", "--set", _ROLES)),
    ]


_RECALL = "Recall it: what has this content is loaded nowhere any more"


def _promotions(row: VersionRow, model: ModelRow, roles: Roles, named: Words) -> list[Command]:
    return [
        _promotion(stage, role, row, model, named)
        for stage, role in sorted(roles.stages.items())
        if stage not in row.stages
    ]


def _promotion(stage: str, role: Role, row: VersionRow, model: ModelRow, named: Words) -> Command:
    others = model.stages.get(stage, ())
    mark = model.marks.get(stage)
    is_back = mark is not None and is_below(row.version, mark)
    options = (*(("--exclusive",) if others else ()), *(("--rollback",) if is_back else ()))
    what = f"Promote it to {stage}"
    if others:
        what += f", in place of {listed(others)}; without --exclusive, beside"
    if is_back:
        what += f"; {mark} was there before, so it is said that going back is meant"
    return _by(role, what, ("promote", *named, "--stage", _word(stage), *options))


def _withdraw(named: Words, stage: str) -> Words:
    return ("withdraw", *named, "--stage", _word(stage), *_WHY)


def _recall(kind: str, target: str) -> Words:
    return ("recall", "--keyid" if kind == "key" else "--digest", target, *_WHY)


def _back(recall: RecallRow, roles: Roles) -> Command:
    it = f"of the key {recall.target[:16]}…" if recall.kind == "key" else "of this content"
    what = f"Take the recall {it} back: it was a mistake"
    option = "--keyid" if recall.kind == "key" else "--digest"
    return _by(roles.restore, what, ("restore", option, recall.target, *_WHY))


def _by(role: Role, what: str, words: Words) -> Command:
    """A command that those of ``role`` may give."""
    if not role.actors:
        return Command(f"{what}. Nobody may", ())
    if role.threshold <= 1:
        return Command(f"{what}. By {who(role)}", (Step("", _line(words)),))
    return Command(
        f"{what}. By {who(role)}",
        (
            Step("One of them", _line((*words, "--out", _FILE))),
            Step("Each further one, until there are enough", _line(("sign", _FILE))),
            Step("The last of them", _line(("submit", _FILE))),
        ),
    )


def who(role: Role) -> str:
    """Whose signatures it takes."""
    names, count = listed(role.actors), len(role.actors)
    if role.threshold <= 1:
        return f"one of {names}" if count > 1 else names or "nobody"
    return f"{names} together" if role.threshold == count else f"{role.threshold} of {names}"


def _line(words: Words) -> Words:
    return ("keras-integrity", "registry", *words)


def _word(text: str) -> str:
    return for_shell(text)
