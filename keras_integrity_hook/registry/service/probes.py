# SPDX-License-Identifier: Apache-2.0
"""Is it well, and what does it do: for load balancers, and for Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from keras_integrity_hook.errors import RegistryError, RegistryUnavailableError
from keras_integrity_hook.registry.service import metrics, own_service, problems
from keras_integrity_hook.registry.service.context import Context, InContext, now
from keras_integrity_hook.registry.service.problems import Refused
from keras_integrity_hook.sealing.statement import moment

router = APIRouter(tags=["operation"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
def health(context: InContext) -> dict[str, Any]:
    """200 where the database answers and the service's key counts; else a problem, 503."""
    try:
        service = own_service(context.store, context.service_key)
    except RegistryError as error:
        raise Refused(problems.of_error(error)._replace(status=503)) from error
    origin, registry_id = context.identity
    return {
        "status": "ok",
        "registry": registry_id,
        "origin": origin,
        "size": context.store.size(),
        "service": service.name,
        "expires": service.expires,
    }


@router.get("/metrics", response_class=Response)
def prometheus(context: InContext) -> Response:
    """The numbers of this process, and the size of the log."""
    return Response(context.metrics.text(), media_type=metrics.CONTENT_TYPE)


def watch(context: Context) -> None:
    """Let Prometheus ask for what the database knows."""
    context.metrics.watch("log_size", "Events in the log.", lambda: _size(context))
    context.metrics.watch(
        "service_key_seconds",
        "Until the service's key expires; at 0 its answers count for nobody.",
        lambda: _seconds_left(context),
    )


def _size(context: Context) -> float:
    try:
        return context.store.size()
    except RegistryError:
        return float("nan")


def _seconds_left(context: Context) -> float:
    try:
        service = own_service(context.store, context.service_key)
    except RegistryUnavailableError:
        return float("nan")
    except RegistryError:
        return 0.0
    return (moment(service.expires) - now()).total_seconds()
