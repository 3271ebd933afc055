# SPDX-License-Identifier: Apache-2.0
"""Groups of commands: they name the one that a misspelt name may have meant, and may be lazy."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Group(click.Group):
    """A group whose subgroups and itself suggest.

    Newer versions of click suggest too, but only among commands that are loaded already.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError:
            raise click.UsageError(self._unknown(ctx, args[0]), ctx) from None

    def _unknown(self, ctx: click.Context, name: str) -> str:
        from difflib import get_close_matches

        from keras_integrity_hook.errors import printable

        said = f"No such command '{printable(name)}'."
        close = get_close_matches(name.lower(), self.list_commands(ctx), n=2)
        return f"{said} Did you mean {' or '.join(map(repr, close))}?" if close else said


class LazyGroup(Group):
    """A group whose commands are imported when they are asked for.

    Args:
        homes: where each command is, by its name: ``"module"`` of this package, which has a
            function of that name, or ``"module:function"``.
    """

    def __init__(self, *args: Any, homes: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        home = self._homes.get(cmd_name)
        if home is None:
            return None
        module, _, name = home.partition(":")
        command = getattr(import_module(f"{__package__}.{module}"), name or cmd_name)
        assert isinstance(command, click.Command)
        return command
