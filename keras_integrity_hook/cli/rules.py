# SPDX-License-Identifier: Apache-2.0
"""``rules``: what inspection looks for, for people, and as the table of docs/inspection.md.

``python -m keras_integrity_hook.cli.rules`` prints the table; a test keeps the page equal to it.
"""

from __future__ import annotations

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.inspection.findings import Verdict
from keras_integrity_hook.inspection.rules import RULES, Rule

_HEAD = (
    "| Rule | Verdict | What it finds | What loading that would do | Answers |",
    "|---|---|---|---|---|",
)


@click.command()
@click.argument("names", metavar="[RULE]...", nargs=-1)
@json_option
def rules(names: tuple[str, ...], as_json: bool) -> None:
    """Explain the rules that models are inspected by, or the one that is named.

    The verdict is that of the worst version of Keras, and what a policy may change by the settings
    inspection_rules and allowed_objects.
    """
    for name in names:
        if name not in RULES:
            raise click.UsageError(f"there is no rule '{name}'; 'keras-integrity rules' lists all")
    wanted = [rule for rule in RULES.values() if rule.word in names or not names]
    if as_json:
        output.emit("rules", ok=True, rules=[_to_dict(rule) for rule in wanted])
        return
    for rule in wanted:
        output.state(rule.verdict, rule.word, good=rule.verdict is not Verdict.REFUSE)
        answers = f" ({', '.join(rule.since)})" if rule.since else ""
        output.detail(f"Finds {rule.what}.")
        output.detail(f"Why: {rule.why}{answers}.")


def table() -> str:
    """The rules in Markdown, one a row."""
    return "\n".join((*_HEAD, *map(_row, RULES.values()))) + "\n"


def _row(rule: Rule) -> str:
    cells = [f"`{rule.word}`", str(rule.verdict), rule.what, rule.why, ", ".join(rule.since)]
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _to_dict(rule: Rule) -> dict[str, object]:
    return {**rule._asdict(), "verdict": str(rule.verdict), "since": list(rule.since)}


if __name__ == "__main__":
    click.echo(table(), nl=False)
