# SPDX-License-Identifier: Apache-2.0
"""A registry with a past, for those who look at its pages."""

from __future__ import annotations

from collections.abc import Iterator

from keras_integrity_hook.registry.events import (
    Body,
    Recalled,
    Registered,
    Restored,
    RolesChanged,
    Withdrawn,
)
from keras_integrity_hook.registry.signed import SignedEvent
from tests.support.registries import Cast, promotion, registration

HOSTILE = "<script>document.title='taken'</script>'; DROP TABLE entries; -- \"{{ 7 * 7 }}\" &amp;"
"""Text that means something in a page, a template, a query or a shell."""

LONG = "a model whose name somebody made as long as it could be, ".ljust(255, "x")
PROVENANCE = {
    "git commit": "9f2c1e7b80d4a6f35bd8b9a4a1ce07c1a4b5e2d6",
    "data": "s3://training/churn/2026-11/customers.parquet",
    "hostile": HOSTILE,
}


def past(cast: Cast) -> Iterator[SignedEvent]:
    """The events that follow the first, until everything has happened once."""
    churn = {
        number: registration("churn", number, provenance=PROVENANCE)
        for number in ("2.0", "2.1", "2.2", "2.3", "2.4")
    }
    for one in churn.values():
        yield cast.signed(one, "carol")
        yield cast.signed(promotion(one, "staging"), "carol")
    for number in ("2.0", "2.1", "2.2"):
        yield together(cast, promotion(churn[number], exclusive=True))
    yield cast.signed(recall_of(churn["2.2"], "Trained on the wrong half of the data."), "carol")
    yield together(cast, promotion(churn["2.1"], rollback=True))
    yield together(cast, withdrawal(churn["2.2"], HOSTILE))
    fraud = registration("fraud detection, EU", "1.0rc1")
    yield cast.signed(fraud, "carol")
    yield cast.signed(recall_of(fraud, HOSTILE), "carol")
    yield cast.signed(Restored("root", fraud.root, "It was another model."), "dave")
    yield cast.signed(registration(LONG, "1!2026.11.28.post3+a.local.build.of.somebody"), "carol")
    yield cast.signed(Recalled("key", "cd" * 32, "A laptop was stolen."), "carol")
    yield together(cast, RolesChanged(cast.roles()))
    yield together(cast, promotion(churn["2.3"]))


def together(cast: Cast, body: Body) -> SignedEvent:
    """What one of them may not do alone."""
    return cast.signed(body, "alice", "bob")


def recall_of(one: Registered, reason: str) -> Recalled:
    return Recalled("root", one.root, reason, one.digests)


def withdrawal(one: Registered, reason: str) -> Withdrawn:
    return Withdrawn(one.model, one.version, one.root, "production", reason)
