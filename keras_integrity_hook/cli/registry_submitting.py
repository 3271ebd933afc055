# SPDX-License-Identifier: Apache-2.0
"""``registry sign`` and ``submit``, for events that need more than one signature."""

from __future__ import annotations

import sys

import click

from keras_integrity_hook.cli import output, registry_founding
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli import registry_signing as signing
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.registry_places import service_key_option, url_option
from keras_integrity_hook.cli.registry_signing import keys_option


@click.command()
@click.argument("file", type=click.Path())
@keys_option
@click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")
@json_option
def sign(file: str, keys: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Add your signature to the event in FILE.

    Some events need more actors than one. The event is shown first: what you sign, you vouch for.
    """
    with places.failures("sign", as_json=as_json):
        made = signing.read(file)
        shown = signing.description(made)
        if not as_json:
            output.state("event", made.id)
            output.facts(shown)
        if not (yes or as_json) and output.is_terminal(sys.stdin):
            click.confirm("Sign this?", abort=True)
        more = signing.signed_by(made, signing.Given(None, keys, None, None, as_json).references())
        signing.replace(file, more)
    added = len(more.signatures) - len(made.signatures)
    if as_json:
        fields = {"file": file, "event": made.id, "signatures": len(more.signatures)}
        output.emit("registry sign", ok=True, **fields, added=added)
        return
    output.state("signed" if added else "signed before", file)
    output.facts([("signatures", len(more.signatures))])
    output.detail(f"When there are enough: 'keras-integrity registry submit {file}'.")


@click.command()
@click.argument("file", type=click.Path())
@url_option
@service_key_option
@json_option
def submit(file: str, url: str | None, service_key: str | None, as_json: bool) -> None:
    """Put the event in FILE into the registry.

    Whoever does that need not be one of those who signed it. An event that is there already is not
    stored again. The event that founds a registry is put into a database of its own, which is made.
    """
    from keras_integrity_hook.registry import events, signed

    with places.failures("submit", as_json=as_json):
        made = signing.read(file)
        if isinstance(signed.event_of(made).body, events.Founded):
            position = registry_founding.appended(places.url_of(url), made, service_key)
        else:
            with places.opened(url, service_key) as place:
                position = signing.submitted(place, made)
    if as_json:
        output.emit("registry submit", ok=True, event=made.id, position=position)
        return
    output.state("submitted", file)
    output.facts([*signing.description(made), ("position", position)])
