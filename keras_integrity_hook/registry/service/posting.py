# SPDX-License-Identifier: Apache-2.0
"""Where events are handed in. Their signatures say who may; nothing else does."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from keras_integrity_hook.errors import EventRefusedError, IntegrityError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.service import problems
from keras_integrity_hook.registry.service.context import InContext, now
from keras_integrity_hook.registry.service.problems import Refused
from keras_integrity_hook.registry.signed import SignedEvent
from keras_integrity_hook.registry.store import Receipt

router = APIRouter(prefix="/v1", tags=["events"])
ONE, SEVERAL = "application/json", "application/x-ndjson"
_BODY = {
    "description": "A DSSE envelope in canonical JSON (RFC 8785), or several, one a line.",
    "content": {ONE: {"schema": {"type": "object"}}, SEVERAL: {"schema": {"type": "string"}}},
    "required": True,
}


@router.post(
    "/events",
    status_code=201,
    responses={409: {"description": "An event breaks a rule; none was stored."}},
    openapi_extra={"requestBody": _BODY},
)
async def append(request: Request, context: InContext) -> dict[str, Any]:
    """Append events to the log: all of them, or none.

    What is answered was written to disk. An event that is there already is not stored again; its
    receipt says where it is, so that whoever got no answer can ask again.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (ONE, SEVERAL):
        raise HTTPException(415, f"events are sent as {ONE} or {SEVERAL}")
    events = await run_in_threadpool(_decoded, await request.body(), kind)
    post = context.store.post(events, service_key=context.service_key, now=now())
    try:
        async with context.appending:
            # What came while others were appended is appended together, by the first of them.
            if not post.is_done:
                await run_in_threadpool(context.store.settle, post)
        receipts = post.receipts.result()
    except EventRefusedError as error:
        context.metrics.refused(error.rule)
        raise
    context.metrics.accepted(len(receipts))
    return {
        "receipts": [_receipt(one) for one in receipts],
        "checkpoint": receipts[-1].checkpoint.decode(),
    }


def _decoded(body: bytes, kind: str) -> list[SignedEvent]:
    lines = body.splitlines() if kind == SEVERAL else [body]
    if not 0 < len(lines) <= LIMITS.registry_posted:
        detail = f"one request brings 1 to {LIMITS.registry_posted} events, not {len(lines)}"
        raise HTTPException(413 if lines else 400, detail)
    try:
        return [signed.decode(line) for line in lines]
    except IntegrityError as error:
        raise Refused(problems.of_error(error, is_request=True)) from error


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {"position": receipt.position, "leaf": receipt.leaf.hex(), "size": receipt.size}
