# SPDX-License-Identifier: Apache-2.0
"""``registry``: which models a fleet may use, and whose word that is."""

from __future__ import annotations

import click

from keras_integrity_hook.cli.group import LazyGroup

_COMMANDS = {
    "init": "registry_founding",
    "register": "registry_acts",
    "promote": "registry_acts",
    "withdraw": "registry_acts",
    "recall": "registry_recalling",
    "restore": "registry_recalling",
    "roles": "registry_roles",
    "sign": "registry_submitting",
    "submit": "registry_submitting",
    "show": "registry_reading",
    "log": "registry_reading",
    "status": "registry_reading",
    "flush": "registry_waiting",
    "verify": "registry_keeping",
    "rebuild": "registry_keeping",
    "export": "registry_keeping",
    "import": "registry_import:import_",
    "serve": "registry_serve",
    "token": "registry_serve",
}


@click.group(cls=LazyGroup, homes=_COMMANDS)
def registry() -> None:
    """Say which models may be used, and see who said so.

    A registry is a log of events that people sign; where it lies, nobody can write in their name.
    The log is a database (sqlite:///PATH, postgresql+psycopg://HOST/NAME), a service that keeps one
    (https://HOST/PATH), or for reading a mirror (file:///PATH).
    """
