# SPDX-License-Identifier: Apache-2.0
"""At which address each page is, and what a browser gets where there is none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from pydantic import AfterValidator

from keras_integrity_hook.errors import IntegrityError, RegistryUnavailableError
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.registry.service.console import links, pages
from keras_integrity_hook.registry.service.console.pages import NotThereError, Shown
from keras_integrity_hook.registry.service.console.rendering import FOLDER, page
from keras_integrity_hook.registry.store import Store
from keras_integrity_hook.sealing.text import has_controls


def _printable(text: str) -> str:
    """A text that can be in a log; a database need not be asked for any other."""
    if has_controls(text):
        raise ValueError("it has control characters")
    return text


_Name = Annotated[str, Query(max_length=LIMITS.registry_name), AfterValidator(_printable)]
_Number = Annotated[str, Query(max_length=LIMITS.registry_version), AfterValidator(_printable)]
_Digest = Annotated[str, Query(max_length=128)]
_Before = Annotated[int | None, Query(ge=0, le=2**62)]
_Position = Annotated[int, Path(ge=0, le=2**62)]

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def made(store: Store) -> APIRouter:
    """The routes; each reads the store in a thread, since databases make one wait."""
    router = APIRouter(route_class=_PageRoute, include_in_schema=False)

    def show(template: str, section: str, shown: Shown, *, is_top: bool = False) -> Response:
        """A page of ``section``, ``is_top`` where it is the one that its link leads to."""
        about = pages.about(store)
        return page(template, about=about, section=section, is_top=is_top, **shown)

    @router.get("/")
    def models(q: _Name = "", after: _Name = "") -> Response:
        sought = q.strip()
        if pages.is_digest(sought.lower()):
            return RedirectResponse(links.content(sought.lower()), HTTPStatus.SEE_OTHER)
        return show("models.html", "Models", pages.models(store, sought, after), is_top=True)

    @router.get("/model")
    def model(name: _Name, before: _Before = None) -> Response:
        return show("model.html", "Models", pages.model(store, name, before))

    @router.get("/version")
    def version(model: _Name, version: _Number) -> Response:
        return show("version.html", "Models", pages.version(store, model, version))

    @router.get("/content")
    def content(digest: _Digest) -> Response:
        return show("content.html", "Models", pages.content(store, digest))

    @router.get("/events")
    def events(model: _Name = "", before: _Before = None) -> Response:
        shown = pages.timeline(store, model, before)
        return show("timeline.html", "Timeline", shown, is_top=not model)

    @router.get("/events/{position}")
    def event(position: _Position) -> Response:
        return show("event.html", "Timeline", pages.event(store, position))

    @router.get("/recalls")
    def recalls(before: _Before = None) -> Response:
        return show("recalls.html", "Recalls", pages.recalls(store, before), is_top=True)

    @router.get("/roles")
    def roles() -> Response:
        return show("roles.html", "Roles", pages.roles(store), is_top=True)

    router.add_api_route("/console.css", _file("console.css", "text/css"))
    router.add_api_route("/icon.svg", _file("icon.svg", "image/svg+xml"))
    return router


class _PageRoute(APIRoute):
    """A route whose refusals are pages, too."""

    def get_route_handler(self) -> _Handler:
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await answer(request)
            except NotThereError as error:
                return _refusal(request, HTTPStatus.NOT_FOUND, str(error))
            except RequestValidationError:
                cause = (
                    "The address has a part that is too long, is missing, or means nothing here."
                )
                return _refusal(request, HTTPStatus.BAD_REQUEST, cause)
            except RegistryUnavailableError as error:
                return _refusal(request, HTTPStatus.SERVICE_UNAVAILABLE, _told(error))
            except IntegrityError as error:
                return _refusal(request, HTTPStatus.INTERNAL_SERVER_ERROR, _told(error))

        return handler


def _refusal(request: Request, status: HTTPStatus, detail: str) -> Response:
    """A page that says what is wrong; it reads nothing from the store, which may be what is."""
    about = pages.About(request.url.hostname or "Registry", "", "")
    shown: Shown = {"heading": status.phrase, "detail": detail}
    return page("problem.html", status, about=about, section="", **shown)


def _told(error: IntegrityError) -> str:
    return f"{error.cause}. {error.remedy()}".replace("..", ".")


def _file(name: str, media_type: str) -> Callable[[], Response]:
    """What answers with a file of this package."""
    content = (FOLDER / name).read_bytes()

    def answer() -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "max-age=300"})

    return answer
