# SPDX-License-Identifier: Apache-2.0
"""Events get into the log whole, in order and once, under a checkpoint by a service's key."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keras_integrity_hook.errors import EventRefusedError, RegistryError
from keras_integrity_hook.registry import merkle, notes, signed, whole
from keras_integrity_hook.registry.events import RolesChanged, Service
from keras_integrity_hook.registry.merkle import Node
from keras_integrity_hook.registry.store import open_store
from keras_integrity_hook.registry.store.log_tables import node_number
from keras_integrity_hook.registry.store.together import Post
from keras_integrity_hook.signing import signers
from tests.support.registries import NEVER, ORIGIN, Cast, promotion, registration
from tests.support.signers import make_key
from tests.support.stores import Kept


def test_an_event_is_in_the_log_with_a_checkpoint_that_covers_it(kept: Kept) -> None:
    event = kept.cast.signed(registration(), "carol")
    receipt = kept.append(event)
    store = kept.store
    assert (receipt.position, receipt.size) == (1, 2)
    assert store.entry(1) == signed.encode(event)
    assert receipt.leaf == merkle.leaf_hash(store.entry(1))
    assert receipt.checkpoint == store.checkpoint()
    services = store.roles().services
    checkpoint = notes.verify_checkpoint(store.checkpoint(), services, ORIGIN, datetime.now(UTC))
    leaves = [merkle.leaf_hash(entry) for entry in store.entries(0, 2)]
    assert checkpoint == notes.Checkpoint(ORIGIN, 2, merkle.root(leaves))
    assert store.registry_id() == kept.cast.registry
    assert store.origin() == ORIGIN


def test_an_event_that_is_there_is_not_stored_again_whoever_else_signed_it(kept: Kept) -> None:
    event = kept.cast.signed(registration(), "carol")
    first = kept.append(event)
    kept.add(registration(version="2"), "carol")
    again = kept.append(kept.cast.countersigned(event, "alice"))
    assert (again.position, again.leaf) == (first.position, first.leaf)
    assert again.checkpoint == kept.store.checkpoint()
    assert kept.store.size() == 3


def test_of_many_events_all_are_appended_or_none(kept: Kept) -> None:
    cast, before = kept.cast, kept.store.checkpoint()
    good = [cast.signed(registration(version=str(n)), "carol") for n in range(5)]
    bad = cast.signed(registration(version="9"), "dave")
    with pytest.raises(EventRefusedError) as caught:
        kept.append(*good, bad)
    assert caught.value.rule == "not-allowed"
    assert kept.store.size() == 1
    assert kept.store.checkpoint() == before
    assert kept.store.model("classifier") is None
    receipt = kept.append(*good, good[0])
    assert (receipt.position, receipt.size) == (1, 6)


def test_what_follows_within_one_batch_is_what_follows_one_by_one(kept: Kept) -> None:
    one, two = registration(version="1"), registration(version="2")
    cast = kept.cast
    kept.append(
        cast.signed(one, "carol"),
        cast.signed(promotion(one, "staging"), "carol"),
        cast.signed(two, "carol"),
        cast.signed(promotion(two, "staging", exclusive=True), "carol"),
    )
    found = kept.store.model("classifier")
    assert found is not None
    assert found.stages == {"staging": ("2",)}
    assert (found.highest, found.versions, found.changed) == ("2", 2, 4)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 32, 33])
def test_nodes_are_numbered_in_the_order_in_which_they_come_to_be(size: int) -> None:
    frontier, numbers = merkle.Frontier(), []
    for position in range(size):
        leaf = merkle.leaf_hash(bytes([position]))
        frontier, completed = merkle.append(frontier, leaf)
        numbers += [node_number(node) for node, _ in completed]
    assert numbers == list(range(len(numbers)))


def test_every_node_of_the_tree_can_be_read(kept: Kept) -> None:
    cast = kept.cast
    kept.append(*(cast.signed(registration(version=str(n)), "carol") for n in range(20)))
    store = kept.store
    leaves = [merkle.leaf_hash(entry) for entry in store.entries(0, 100)]
    assert len(leaves) == 21
    assert store.hashes(0, 3, 100) == leaves[3:]
    assert store.hashes(2, 0, 100) == [merkle.root(leaves[at : at + 4]) for at in range(0, 20, 4)]
    assert store.nodes([Node(4, 0), Node(0, 20)]) == [merkle.root(leaves[:16]), leaves[20]]
    with pytest.raises(RegistryError, match="no such node"):
        store.nodes([Node(5, 0)])
    with pytest.raises(IndexError):
        store.entry(21)


def test_a_key_that_is_no_services_signs_no_checkpoint(kept: Kept, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    kept.key = signers.find(str(tmp_path / "stranger"))
    with pytest.raises(EventRefusedError, match="none of the services") as caught:
        kept.add(registration(), "carol")
    assert caught.value.rule == "service-key"
    assert kept.store.size() == 1


def test_a_service_key_counts_until_it_expires_and_its_successor_from_the_event_that_names_it(
    kept: Kept, tmp_path: Path
) -> None:
    cast, old = kept.cast, kept.key
    new = make_key(tmp_path / "new")
    later = signers.find(str(tmp_path / "new"))
    roles = cast.roles(services=(Service("later", new.keyid, new.pem, NEVER),))
    change = cast.signed(RolesChanged(roles), "alice", "bob")
    with pytest.raises(EventRefusedError):
        kept.append(change)  # by the old key, which counts no longer
    kept.key = later
    kept.append(change)
    kept.add(registration(), "carol")
    kept.key = old
    with pytest.raises(EventRefusedError):
        kept.add(registration(version="2"), "carol")
    kept.key = later
    event = cast.signed(registration(version="2"), "carol")
    with pytest.raises(EventRefusedError, match="expired on 2099"):
        kept.store.append(event, service_key=later, now=datetime(2099, 1, 2, tzinfo=UTC))


def test_writers_in_many_threads_lose_nothing_and_overtake_nobody(kept: Kept) -> None:
    """Two of three also through stores of their own, as other processes have them."""
    events = [
        [kept.cast.signed(registration(f"m{who}", str(n)), "carol") for n in range(6)]
        for who in range(6)
    ]
    failures = []

    def write(who: int) -> None:
        store = kept.store if who % 3 == 0 else open_store(kept.url, timeout=60)
        try:
            for one in events[who]:
                store.append(one, service_key=kept.key, now=datetime.now(UTC))
        except BaseException as error:
            failures.append(error)
        finally:
            if store is not kept.store:
                store.close()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    logged = [one.encoded for one in kept.store.whole_log()]
    assert sorted(logged[1:]) == sorted(signed.encode(one) for some in events for one in some)
    for some in events:
        places = [logged.index(signed.encode(one)) for one in some]
        assert places == sorted(places)
    leaves = list(map(merkle.leaf_hash, logged))
    shown = notes.unverified_checkpoint(kept.store.checkpoint())
    assert (shown.size, shown.root) == (37, merkle.root(leaves))


def test_an_empty_database_has_no_checkpoint_no_roles_and_no_id(url: str, cast: Cast) -> None:
    with Kept(url, cast).store as store:
        assert (store.size(), store.registry_id(), store.origin()) == (0, "", "")
        with pytest.raises(RegistryError, match="nobody has founded"):
            store.checkpoint()
        with pytest.raises(RegistryError, match="nobody has founded"):
            store.roles()


def test_what_several_threads_post_at_once_is_each_in_the_log_as_a_whole_or_not_at_all(
    kept: Kept,
) -> None:
    cast, store = kept.cast, kept.store

    def events(number: int) -> list[signed.SignedEvent]:
        """Some posts end with an event that breaks a rule."""
        name = "dave" if number % 5 == 0 else "carol"
        bodies = [registration(f"m{number}", version) for version in ("1", "2")]
        return [cast.signed(bodies[0], "carol"), cast.signed(bodies[1], name)]

    made = [
        store.post(events(number), service_key=kept.key, now=datetime.now(UTC))
        for number in range(40)
    ]

    def settle(post: Post) -> None:
        with contextlib.suppress(EventRefusedError):
            store.settle(post)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(settle, made))
    for number, post in enumerate(made):
        if number % 5 == 0:
            assert isinstance(post.receipts.exception(), EventRefusedError)
            assert store.model(f"m{number}") is None
        else:
            first, second = post.receipts.result()
            assert second.position == first.position + 1
            assert store.entry(second.position) == signed.encode(post.events[1])
            assert notes.unverified_checkpoint(second.checkpoint).size == second.size
    assert store.size() == 1 + 2 * 32
    assert whole.verify(store, datetime.now(UTC), whole.Expected(cast.registry)).faults == ()
