# SPDX-License-Identifier: Apache-2.0
"""What went wrong, as a problem document (RFC 9457): one shape for every refusal.

Beside the members of the RFC each has ``code``, ``remedy`` and ``evidence`` of the error, so that
a client raises the very error that the service met.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from keras_integrity_hook.errors import (
    EventRefusedError,
    IntegrityError,
    RegistryUnavailableError,
    printable,
)

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:keras-integrity:problem:"
_RETRY = {"retry-after": "1"}
_PLAIN = {
    400: ("bad-request", "this is no request that is understood here"),
    401: ("unauthorized", "a token is needed"),
    404: ("not-found", "there is nothing of this name"),
    405: ("method-not-allowed", "this cannot be done here"),
    408: ("request-timeout", "the request did not arrive in time"),
    413: ("content-too-large", "the request is too large"),
    414: ("target-too-long", "the path is too long"),
    415: ("unsupported-media-type", "this cannot be read here"),
    431: ("head-too-large", "the headers are too long"),
    500: ("internal-error", "the service failed; its log says why"),
    503: ("unavailable", "the service cannot answer now"),
}
"""The code and the usual detail of each status; Python's phrases are others in other versions."""


class Problem(NamedTuple):
    """
    Attributes:
        status: of HTTP.
        code: a word that stays, by which programs tell problems apart.
        detail: what happened, a sentence.
    """

    status: int
    code: str
    detail: str
    remedy: str = ""
    evidence: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}

    def body(self) -> bytes:
        """The document, JSON."""
        members = {
            "type": TYPE + self.code,
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": printable(self.detail),
            "code": self.code,
            "remedy": self.remedy,
            "evidence": dict(self.evidence),
        }
        return json.dumps(members).encode()

    def lines(self) -> list[tuple[str, str]]:
        """The headers of the response."""
        return [
            ("content-type", MEDIA_TYPE),
            ("cache-control", "no-store"),
            *self.headers.items(),
        ]


class Refused(Exception):  # noqa: N818 - it is no fault of ours
    """Ends a route; the response is ``problem``."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def of_error(error: IntegrityError, *, is_request: bool = False) -> Problem:
    """The problem that ``error`` is.

    Args:
        is_request: it is the request that is wrong, and not what the registry holds.
    """
    status = 400 if is_request else _status(error)
    headers = _RETRY if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Problem(status, error.code, error.cause, error.remedy(), error.evidence(), headers)


def of_status(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Problem:
    """The problem of a plain HTTP status."""
    code, usual = _PLAIN.get(status, (f"http-{status}", "the request cannot be answered"))
    return Problem(status, code, detail or usual, headers=headers or {})


def _status(error: IntegrityError) -> int:
    if isinstance(error, EventRefusedError):
        return HTTPStatus.CONFLICT
    if isinstance(error, RegistryUnavailableError):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR
