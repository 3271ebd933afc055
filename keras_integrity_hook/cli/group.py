# SPDX-License-Identifier: Apache-2.0
"""A group of commands that names the one which a misspelt name may have meant."""

from __future__ import annotations

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
