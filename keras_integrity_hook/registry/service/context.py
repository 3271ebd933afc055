# SPDX-License-Identifier: Apache-2.0
"""What the routes of one service share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request

from keras_integrity_hook.registry.service.metrics import Metrics
from keras_integrity_hook.registry.service.options import Options
from keras_integrity_hook.registry.store import Store
from keras_integrity_hook.signing.signers import SigningKey


@dataclass
class Context:
    """One service.

    Attributes:
        appending: held by who appends. The database lets in one at a time anyway; those who wait
            for it here need no thread and no connection, and keep no reader from theirs.
    """

    store: Store
    service_key: SigningKey
    options: Options
    metrics: Metrics
    appending: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def identity(self) -> tuple[str, str]:
        """The registry's origin and its id, which never change."""
        return self.store.origin(), self.store.registry_id()


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


async def _of(request: Request) -> Context:  # what is not asynchronous takes a thread's turn
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(_of)]
"""An argument of a route that is the service's :class:`Context`."""
