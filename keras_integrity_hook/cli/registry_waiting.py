# SPDX-License-Identifier: Apache-2.0
"""``registry flush``: what saves left to be registered."""

from __future__ import annotations

import sys

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.texts import plural


@click.command()
@json_option
def flush(as_json: bool) -> None:
    """Register now what this user's saves left to be registered.

    With register_on_save = true a save is registered in the background. What could not be, because
    the registry did not answer or the process ended, waits on the disk.
    """
    from keras_integrity_hook.saving import registering

    with places.failures("flush", as_json=as_json):
        done = registering.flush()
    is_all = not (done.refused or done.waiting)
    if as_json:
        refused = [{"path": path, "cause": cause} for path, cause in done.refused]
        fields = {"sent": done.sent, "refused": refused, "waiting": done.waiting}
        output.emit("registry flush", ok=is_all, **fields, cause=done.cause)
    else:
        for path, cause in done.refused:
            output.state("refused", path, good=False)
            output.detail(cause)
        if done.waiting:
            output.state("waiting", plural(done.waiting, "model"), good=False)
            output.detail(done.cause)
        if done.sent or is_all:
            output.state("registered", plural(done.sent, "model"))
    sys.exit(output.OK if is_all else output.REFUSED)
