# SPDX-License-Identifier: Apache-2.0
"""What can be asked: of contents with proofs, of models as lists.

Only answers, tiles and checkpoints prove anything. The lists are for people and scripts that trust
this service.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from starlette.exceptions import HTTPException

from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry import answers
from keras_integrity_hook.registry.service.context import Context, InContext, now
from keras_integrity_hook.registry.service.documents import (
    Models,
    Recalls,
    VersionDocument,
    Versions,
)
from keras_integrity_hook.sealing import text
from keras_integrity_hook.sealing.tree import HEX

router = APIRouter(prefix="/v1", tags=["reading"])
_Limit = Annotated[int, Query(ge=1, le=LIMITS.registry_page)]
_Index = Annotated[int | None, Query(ge=0, lt=2**62, description="A position in the log.")]
_Text = Annotated[str, Query(max_length=LIMITS.model_name)]
_SINCE = re.compile("[0-9]{1,18}", re.ASCII)


def _parameter(name: str, where: str, about: str, **schema: Any) -> dict[str, Any]:
    is_path = where == "path"
    return {
        "name": name,
        "in": where,
        "required": is_path,
        "description": about,
        "schema": {"type": "string", **schema},
    }


# What each load asks. FastAPI takes longer to read these three than the answer takes.
_QUESTION = (
    _parameter("digests", "path", "Roots of one content, hex, with commas."),
    _parameter("keys", "query", "Ids of keys that signed the model, hex, with commas; or '*'."),
    _parameter("since", "query", "Size of a checkpoint seen before.", type="integer", minimum=0),
)


@router.get(
    "/digests/{digests}", response_class=Response, openapi_extra={"parameters": list(_QUESTION)}
)
def answer(request: Request) -> Response:
    """What the log says of contents, whether it knows them or not, with all that proves it."""
    moment = now()
    context: Context = request.app.state.context
    keys = request.query_params.get("keys", "")
    found = context.store.answer(
        _hex(request.path_params["digests"], LIMITS.registry_digests),
        keys=_keys(keys) if keys else (),
        since=_size(request.query_params.get("since", "0")),
    )
    until = moment + timedelta(seconds=context.options.fresh_for)
    freshness = answers.freshness(*context.identity, moment, until)
    found = answers.fresh(found, freshness, context.service_key)
    return Response(answers.encode(found), media_type="application/json")


@router.get("/models", response_model=Models)
def models(context: InContext, after: _Text = "", like: _Text = "", limit: _Limit = 100) -> Any:
    """Models by name."""
    rows = context.store.models(after=_clean(after), like=_clean(like), limit=limit + 1)
    page, more = rows[:limit], len(rows) > limit
    return {
        "models": [row._asdict() for row in page],
        "next": page[-1].name if more else None,
    }


@router.get("/models/{name}", response_model=Versions)
def model(context: InContext, name: str, before: _Index = None, limit: _Limit = 100) -> Any:
    """A model and its versions."""
    row = _known(context.store.model(_clean(name)), "model")
    rows = context.store.versions(row.name, before=before, limit=limit + 1)
    page, more = rows[:limit], len(rows) > limit
    return {
        "model": row._asdict(),
        "versions": [one._asdict() for one in page],
        "next": page[-1].registered if more else None,
    }


@router.get("/models/{name}/{version}", response_model=VersionDocument)
def version(context: InContext, name: str, version: str) -> Any:
    """One version of a model."""
    return _known(context.store.version(_clean(name), _clean(version)), "version")._asdict()


@router.get("/recalls", response_model=Recalls)
def recalls(context: InContext, before: _Index = None, limit: _Limit = 100) -> Any:
    """The recalls in force."""
    rows = context.store.recalls(before=before, limit=limit + 1)
    page, more = rows[:limit], len(rows) > limit
    return {
        "recalls": [one._asdict() for one in page],
        "next": page[-1].event if more else None,
    }


def _hex(spelt: str, most: int) -> list[str]:
    parts = spelt.split(",")
    if len(parts) > most or not all(map(HEX.fullmatch, parts)):
        detail = f"expected at most {most} digests or key ids, each of 64 or 128 hex digits"
        raise HTTPException(400, detail)
    return list(dict.fromkeys(parts))


def _size(spelt: str) -> int:
    if not _SINCE.fullmatch(spelt):
        raise HTTPException(400, "since: the size of a log is a whole number")
    return int(spelt)


def _keys(spelt: str) -> list[str]:
    return [answers.EVERY_KEY] if spelt == answers.EVERY_KEY else _hex(spelt, LIMITS.signatures)


def _clean(part: str) -> str:
    """A text that can be in a log; what cannot need not be looked for."""
    if text.has_controls(part) or len(part) > LIMITS.model_name:
        raise HTTPException(400, "a name has no control characters, and is not as long as this")
    return part


def _known(row: Any, what: str) -> Any:
    if row is None:
        raise HTTPException(404, f"no {what} of this name is registered here")
    return row
