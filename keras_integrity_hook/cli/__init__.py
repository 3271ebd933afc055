# SPDX-License-Identifier: Apache-2.0
"""``keras-integrity``: thin commands over the public API.

A command's module is imported when the command is run, so that ``keras-integrity verify`` pays
for click and hashlib and for nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import Any

import click

from keras_integrity_hook._version import __version__
from keras_integrity_hook.cli.group import Group

_COMMANDS = {
    "verify": "verifying",
    "scan": "scanning",
    "rules": "rules",
    "seal": "files",
    "unseal": "files",
    "vet": "vetting",
    "inspect": "inspection",
    "diff": "diff",
    "sign": "signing",
    "keygen": "signing",
    "trust": "trust",
    "revoke": "trust",
    "reseal": "reseal",
    "status": "doctor",
    "doctor": "doctor",
    "history": "history",
    "clean": "cleaning",
    "policy": "policy",
    "site": "site",
    "demo": "demo",
    "bundle": "bundle",
    "contract": "contract",
    "registry": "registry",
    "fleet": "fleet",
    "report": "reporting",
    "admit": "admission",
    "help": "manual",
}
_INTERRUPTED = 130  # what shells report of a program that SIGINT ended


class _LazyGroup(Group):
    """A group that finds its commands by name in sibling modules."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # not 1, which says that something was refused
            click.echo("\nInterrupted; what is not listed above was not looked at.", err=True)
            sys.exit(_INTERRUPTED)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # most likely what we write to; a broken pipe is click's to handle
            with contextlib.suppress(OSError):
                click.echo(f"Error: {error}", err=True)
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 1)  # what is left is not tried again at exit
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = _COMMANDS.get(cmd_name)
        if home is None:
            return None
        command = getattr(import_module(f"{__name__}.{home}"), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keras-integrity")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Seal Keras model files and find out whether they were changed since.

    \b
    Exit status: 0 all is well; 1 something was refused;
                 2 the command line or a setting is wrong;
                 130 interrupted.
    """
    if os.environ.get("NO_COLOR"):  # https://no-color.org; click does not ask for it
        ctx.color = False
    from keras_integrity_hook.errors import UnsupportedPlatformError
    from keras_integrity_hook.files import portable

    try:
        portable.require()
    except UnsupportedPlatformError as error:
        raise click.ClickException(str(error)) from None
