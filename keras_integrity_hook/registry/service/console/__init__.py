# SPDX-License-Identifier: Apache-2.0
"""Pages for people: what is registered, where it may be used, whose word that is, and since when.

They are read, and nothing else: what changes a registry is signed on the command line, and each
page shows the command. A page needs no script, and its text is on one side of the world only: what
strangers wrote is escaped, and the browser is told to run nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import APIRouter

    from keras_integrity_hook.registry.store import Store
else:  # for those who look annotations up at run time
    APIRouter = Store = object


def router(store: Store) -> APIRouter:
    """The routes of the pages, from ``/`` on."""
    from keras_integrity_hook.registry.service.console.routes import made

    return made(store)
