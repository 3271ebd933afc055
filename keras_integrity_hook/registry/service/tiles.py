# SPDX-License-Identifier: Apache-2.0
"""The log itself, in the layout of https://c2sp.org/tlog-tiles, for whoever audits."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from keras_integrity_hook.errors import MalformedEventError
from keras_integrity_hook.registry import tiles
from keras_integrity_hook.registry.service.context import InContext
from keras_integrity_hook.registry.store import Store
from keras_integrity_hook.registry.tiles import Tile

router = APIRouter(prefix="/v1", tags=["log"], default_response_class=Response)
_TEXT, _BYTES = "text/plain; charset=utf-8", "application/octet-stream"
_FOR_EVER = "max-age=31536000, immutable"


@router.get("/checkpoint")
def checkpoint(context: InContext) -> Response:
    """The newest checkpoint, a signed note."""
    return Response(context.store.checkpoint(), media_type=_TEXT)


@router.get("/tile/{path:path}")
def tile(context: InContext, path: str) -> Response:
    """A tile of hashes (``0/x001/067``, ``0/000.p/5``), or a bundle of events (``entries/000``)."""
    try:
        wanted = tiles.parse(f"tile/{path}")
    except MalformedEventError as error:
        raise HTTPException(404, error.cause) from None
    if not tiles.is_within(wanted, context.store.size()):
        raise HTTPException(404, "the log is not as long as this")
    data = _bundle(context.store, wanted) if wanted.is_bundle else _hashes(context.store, wanted)
    # What a tile says never changes; others keep it only where it is for everybody.
    who = "private" if context.options.tokens else "public"
    return Response(data, media_type=_BYTES, headers={"cache-control": f"{who}, {_FOR_EVER}"})


def _hashes(store: Store, wanted: Tile) -> bytes:
    first = wanted.number * tiles.WIDTH
    return b"".join(store.hashes(wanted.level * tiles.HEIGHT, first, first + wanted.width))


def _bundle(store: Store, wanted: Tile) -> bytes:
    return tiles.encode_bundle(store.entries(*wanted.leaves))
