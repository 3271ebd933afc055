# SPDX-License-Identifier: Apache-2.0
"""What the routes of one service share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from keras_integrity_hook.registry.service.metrics import Metrics
from keras_integrity_hook.registry.service.options import Options
from keras_integrity_hook.registry.store import Store
from keras_integrity_hook.signing.signers import SigningKey


class Context(NamedTuple):
    """One service."""

    store: Store
    service_key: SigningKey
    options: Options
    metrics: Metrics


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)


def _of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


InContext = Annotated[Context, Depends(_of)]
"""An argument of a route that is the service's :class:`Context`."""
