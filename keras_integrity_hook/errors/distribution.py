# SPDX-License-Identifier: Apache-2.0
"""Errors of trust files and policies that come from a publisher."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.errors.base import IntegrityError


class TrustUpdateError(IntegrityError):
    """What a publisher of trust files offers is not to be had or cannot be relied on; what was
    pulled before stays in force.

    Args:
        reason: ``"unavailable"``; ``"expired"``, which somebody who holds back news causes too;
            ``"older"`` than what was pulled before; ``"not-genuine"``, by its signatures or its
            digests; ``"unusable"``, signed and yet with a mistake.
    """

    code = "trust-update"
    default_remedy = (
        "What was pulled before stays in force. Ask whoever publishes it; if it was somebody else, "
        "it is the web server or the network that cannot be trusted."
    )

    def __init__(
        self,
        cause: str,
        *,
        path: str | None = None,
        reason: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(cause, path=path, remedy=remedy)
        self.reason = reason

    def evidence(self) -> dict[str, Any]:
        return {"reason": self.reason}
