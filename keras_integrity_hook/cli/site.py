# SPDX-License-Identifier: Apache-2.0
"""``site``: protection that an admin sets up for everybody who uses this Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from keras_integrity_hook.activation import machine_policy, sitecustomize
from keras_integrity_hook.activation.machine_policy import MachinePolicy
from keras_integrity_hook.activation.sitecustomize import Customization
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history import directories

_force = click.option(
    "--force",
    is_flag=True,
    help="Change a sitecustomize.py that other environments load, too; Debian's is one.",
)


@click.group(cls=Group)
def site() -> None:
    """Protect everybody who uses this Python.

    A block in the sitecustomize.py that this Python loads arms the hook where its own start-up
    file does not. The machine's policy decides whether KERAS_INTEGRITY=off has an effect.
    """


@site.command()
@click.option("--policy", type=click.Path(), help="Check FILE and make it the machine's policy.")
@click.option("--lock", is_flag=True, help="Write a policy that only forbids opting out.")
@click.option(
    "--replace-policy",
    is_flag=True,
    help=f"Even if there is another one, which is kept as {machine_policy.PREVIOUS}.",
)
@click.option(
    "--policy-only",
    is_flag=True,
    help="Leave sitecustomize.py alone: pip's start-up file arms the hook.",
)
@_force
@json_option
def install(  # noqa: PLR0913, PLR0917 - one argument for each option
    policy: str | None,
    lock: bool,
    replace_policy: bool,
    policy_only: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Put the block in, and write the machine's policy if asked to."""
    if policy is not None and lock:
        raise click.UsageError("--policy and --lock exclude each other.")
    if policy_only and policy is None and not lock:
        raise click.UsageError("--policy-only needs --policy FILE or --lock.")

    def act() -> dict[str, Any]:
        text = machine_policy.LOCKED if lock else None
        if policy is not None:
            text = machine_policy.read_candidate(policy)
        # What may go wrong is found out before anything is changed.
        pending = text is not None and machine_policy.may_write(text, overwrite=replace_policy)
        plan = None if policy_only else sitecustomize.plan(force=force)
        if text is not None and pending:
            machine_policy.write(text)
        if plan is not None:
            plan.carry_out()
        made = _machine_is_to_remember() and directories.make_machines()
        path = plan.path if plan is not None else None
        changed = plan is not None and plan.text is not None
        return {
            "sitecustomize": path,
            "changed": changed,
            "policy_written": pending,
            "history_made": made,
        }

    def say(done: dict[str, Any]) -> None:
        if not policy_only:
            verb = "now arms" if done["changed"] else "already arms"
            click.echo(f"{printable(done['sitecustomize'])} {verb} the hook.")
        if text := _about_written_policy(done["policy_written"], asked=lock or policy is not None):
            click.echo(text)
        if done["history_made"]:
            click.echo(f"What everybody loads and saves is remembered in {directories.MACHINE}.")

    _run("site install", act, say, as_json=as_json)


def _machine_is_to_remember() -> bool:
    """Whether the machine's policy has fixed ``history``, and this user can make its directory."""
    return system.geteuid() == 0 and "history" in machine_policy.examine().locked


@site.command()
@click.option(
    "--policy", is_flag=True, help="Remove the machine's policy, too, and the one kept from before."
)
@click.option("--policy-only", is_flag=True, help="Remove the policy, and leave the block.")
@_force
@json_option
def uninstall(policy: bool, policy_only: bool, force: bool, as_json: bool) -> None:
    """Take the block out: the file is as it was, byte for byte."""
    policy = policy or policy_only

    def act() -> dict[str, Any]:
        path, changed = (None, False) if policy_only else sitecustomize.uninstall(force=force)
        removed = machine_policy.remove() if policy else False
        return {"sitecustomize": path, "changed": changed, "policy_removed": removed}

    def say(done: dict[str, Any]) -> None:
        if done["changed"]:
            click.echo(f"The block is gone from {printable(done['sitecustomize'])}.")
        elif not policy_only:
            click.echo("There was no block.")
        if policy:
            state = "is removed" if done["policy_removed"] else "was not there"
            click.echo(f"The policy {machine_policy.examine().path} {state}.")

    _run("site uninstall", act, say, as_json=as_json)


@site.command()
@json_option
def status(as_json: bool) -> None:
    """Show what is in place: the block, and the machine's policy.

    Exit status 1 if the block is not in it, or the policy is there and cannot be relied on.
    """

    def act() -> dict[str, Any]:
        clean, here = sitecustomize.find(), sitecustomize.find(isolated=False)
        policy = machine_policy.examine()
        return {
            "python": sys.executable,
            "sitecustomize": customization_facts(clean),
            "here": customization_facts(here),
            "policy": policy_facts(policy),
            "opt_out_has_effect": policy.honours_opt_out,
            "ok": clean.is_current and policy.error is None,
        }

    def say(found: dict[str, Any]) -> None:
        output.facts(
            [
                ("Python", found["python"]),
                ("sitecustomize", describe_customization(found["sitecustomize"])),
                *_about_here(found),
                ("policy", describe_policy(found["policy"])),
                ("KERAS_INTEGRITY=off", _about_opt_out(found)),
            ]
        )

    _run("site status", act, say, as_json=as_json)


def customization_facts(found: Customization) -> dict[str, Any]:
    """The facts for machines."""
    return {
        "path": found.path,
        "exists": found.exists,
        "target": found.target,
        "block": found.block,
    }


def policy_facts(policy: MachinePolicy) -> dict[str, Any]:
    """The facts for machines."""
    return {
        "path": policy.path,
        "state": policy.state.value,
        "locked": list(policy.locked),
        "error": policy.error.to_dict() if policy.error else None,
    }


def describe_customization(found: dict[str, Any] | None) -> str:
    """One line for people."""
    if found is None:
        return "unknown"
    if not found["exists"]:
        return "none is loaded"
    link = f" -> {found['target']}" if os.path.islink(found["path"]) else ""
    block = {"current": "arms the hook", "absent": "without our block"}
    return f"{found['path']}{link}, {block.get(found['block'], 'its block is ' + found['block'])}"


def describe_policy(policy: dict[str, Any]) -> str:
    """One line for people."""
    if policy["error"]:
        return f"{policy['path']}, {policy['state']}: {policy['error']['message']}"
    locked = ", ".join(policy["locked"]) or "nothing"
    return f"{policy['path']}, {policy['state']}" + (
        f", locks {locked}" if policy["state"] == machine_policy.State.VALID else ""
    )


def _about_here(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What the environment of this process changes, if anything."""
    if found["here"]["path"] == found["sitecustomize"]["path"]:
        return []
    return [("in this shell", f"{describe_customization(found['here'])} (hides the one above)")]


def _about_opt_out(found: dict[str, Any]) -> str:
    if found["opt_out_has_effect"]:
        return "switches the checks off"
    if found["policy"]["error"] and found["policy"]["state"] != machine_policy.State.HIDDEN:
        return "has no effect; nothing is loaded until the policy is put in order"
    return "has no effect, and is recorded"


def _about_written_policy(written: bool, *, asked: bool) -> str:
    if not asked:
        return ""
    path = machine_policy.examine().path
    return f"{path} is in force." if written else f"{path} was in force already."


def _run(
    command: str,
    act: Callable[[], dict[str, Any]],
    say: Callable[[dict[str, Any]], None],
    *,
    as_json: bool,
) -> NoReturn:
    """Do it, tell what was done or why it was refused, and exit."""
    try:
        done = act()
    except IntegrityError as error:
        output.failed(command, error, as_json=as_json)
    ok = done.pop("ok", True)
    if as_json:
        output.emit(command, ok=ok, **done)
    else:
        say(done)
    sys.exit(output.OK if ok else output.REFUSED)
