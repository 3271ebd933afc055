# SPDX-License-Identifier: Apache-2.0
"""The parts of the service, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from keras_integrity_hook._version import __version__
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.registry.service import console, posting, probes, problems, reading, tiles
from keras_integrity_hook.registry.service.boundary import Boundary
from keras_integrity_hook.registry.service.context import Context
from keras_integrity_hook.registry.service.documents import ProblemDocument
from keras_integrity_hook.registry.service.metrics import Metrics
from keras_integrity_hook.registry.service.options import Options
from keras_integrity_hook.registry.service.problems import Problem, Refused
from keras_integrity_hook.registry.store import Store
from keras_integrity_hook.signing.signers import SigningKey

_ABOUT = (
    "A registry of models: a log of events that actors signed. Nothing can be changed here but by "
    "an event with their signatures, and what is answered has its proofs with it."
)
_PROBLEM = {problems.MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}


def made(store: Store, service_key: SigningKey, options: Options) -> FastAPI:
    """See :func:`keras_integrity_hook.registry.service.app`."""
    metrics = Metrics()
    service = FastAPI(
        title="keras-integrity registry",
        description=_ABOUT,
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,  # those pages are somebody else's program, from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"description": "A problem.", "content": _PROBLEM}},
    )
    service.state.context = Context(store, service_key, options, metrics)
    service.add_middleware(Boundary, options=options, metrics=metrics)
    service.add_exception_handler(IntegrityError, _failed)
    service.add_exception_handler(Refused, _refused)
    service.add_exception_handler(HTTPException, _plain)
    service.add_exception_handler(RequestValidationError, _invalid)
    for router in (posting.router, reading.router, tiles.router, probes.router):
        service.include_router(router)
    service.include_router(console.router(store))
    probes.watch(service.state.context)
    return service


@asynccontextmanager
async def _lifespan(service: FastAPI) -> AsyncIterator[None]:
    context: Context = service.state.context
    anyio.to_thread.current_default_thread_limiter().total_tokens = context.options.threads
    yield
    context.store.close()


def _failed(request: Request, error: Any) -> Response:
    return response(problems.of_error(error))


def _refused(request: Request, error: Any) -> Response:
    return response(error.problem)


def _plain(request: Request, error: Any) -> Response:
    is_ours = error.detail != HTTPStatus(error.status_code).phrase
    detail = error.detail if is_ours else ""
    return response(problems.of_status(error.status_code, detail, error.headers))


def _invalid(request: Request, error: Any) -> Response:
    # Without what was sent, which FastAPI would repeat.
    wrong = [
        {"where": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()
    ]
    detail = "; ".join(f"{one['where']}: {one['message']}" for one in wrong[:5])
    return response(Problem(400, "bad-request", detail, evidence={"parameters": wrong}))


def response(problem: Problem) -> Response:
    """The response that tells of ``problem``."""
    return Response(problem.body(), problem.status, dict(problem.lines()))
