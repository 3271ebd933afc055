# SPDX-License-Identifier: Apache-2.0
"""The words that settings are made of."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """What happens on a mismatch."""

    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


class Unsealed(StrEnum):
    """What happens to a model without a seal."""

    WARN = "warn"
    REJECT = "reject"


class Require(StrEnum):
    """What a model must have to be loaded."""

    NOTHING = "nothing"
    SEALED = "sealed"
    SIGNED = "signed"
    VETTED = "vetted"
    """A trusted vetter says that it was tried in a sandbox; it needs no seal then."""
    REGISTERED = "registered"
    """A registry knows the content; it needs no seal then either."""
    SIGNED_AND_VETTED = "signed+vetted"
    SIGNED_AND_REGISTERED = "signed+registered"
    VETTED_AND_REGISTERED = "vetted+registered"
    ALL_THREE = "signed+vetted+registered"

    def names(self, demand: Require) -> bool:
        """Whether this is ``demand``, or is made of it and others."""
        return demand.value in self.value.split("+")


class Verify(StrEnum):
    """When the bytes of a model are verified; no byte is ever used before it was."""

    STRICT = "strict"
    """All of them before any is handed over."""
    PIPELINED = "pipelined"
    """Ahead of the reader, and all of them before the model is returned."""


class Sandbox(StrEnum):
    """Which models must have been loaded in a sandbox before this process loads them."""

    OFF = "off"
    UNSIGNED = "unsigned"
    """Those that nobody who is trusted has signed."""
    ALWAYS = "always"


class Permissions(StrEnum):
    """Whether it matters who else could write a model (as ssh's StrictModes)."""

    OFF = "off"
    STRICT = "strict"


class OnFailure(StrEnum):
    """What answers the program whose model was refused."""

    RAISE = "raise"
    FALLBACK = "fallback"
    CALL = "call"


class Store(StrEnum):
    """Where the seal of a single file goes."""

    EMBEDDED = "embedded"
    SIDECAR = "sidecar"


class Downloads(StrEnum):
    """How a model file may be downloaded by Keras."""

    ENCRYPTED = "encrypted"
    HASHED = "hashed"


class Inputs(StrEnum):
    """What happens to an input that breaks the model's input contract."""

    ENFORCE = "enforce"
    WARN = "warn"
    OFF = "off"


class Inspecting(StrEnum):
    """Which findings of an inspection stop a load."""

    OFF = "off"
    REFUSE = "refuse"
    STRICT = "strict"


class History(StrEnum):
    """What happens to a model that contradicts what this machine remembers of its path."""

    OFF = "off"
    WARN = "warn"
    ENFORCE = "enforce"
