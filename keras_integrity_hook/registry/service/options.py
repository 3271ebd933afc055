# SPDX-License-Identifier: Apache-2.0
"""What whoever runs the service can choose."""

from __future__ import annotations

from typing import NamedTuple

from keras_integrity_hook.registry.service.tokens import Token


class Options(NamedTuple):
    """
    Attributes:
        tokens: who may read and post; empty: everybody who can connect.
        fresh_for: seconds for which an answer says that there is nothing more to say; so long can
            a recall be hidden by whoever stole the service's key, or repeats an old answer.
        threads: requests that are worked on at once; each uses one connection to the database.
        waiting: requests at once; those above it are sent away (503) before they cost anything.
        body_seconds: within which the whole body of a request has to arrive.
        is_tls: whether browsers may be told to come back by TLS only.
    """

    tokens: tuple[Token, ...] = ()
    fresh_for: int = 3600
    threads: int = 16
    waiting: int = 1000
    body_seconds: float = 10.0
    is_tls: bool = False
