# SPDX-License-Identifier: Apache-2.0
"""Lists and pages of a registry."""

from __future__ import annotations

from collections.abc import Sequence

from keras_integrity_hook.registry import signed
from keras_integrity_hook.registry.events import Recalled, Restored, Withdrawn
from keras_integrity_hook.registry.store import Logged, Subject
from tests.support.registries import promotion, registration
from tests.support.stores import Kept


def positions(events: Sequence[Logged]) -> list[int]:
    return [one.position for one in events]


def test_models_are_listed_by_name_in_pages_and_found_by_part_of_it(kept: Kept) -> None:
    for name in ("delta", "Alpha", "beta", "100_000", "gamma"):
        kept.add(registration(name), "carol")
    listed = [row.name for row in kept.store.models()]
    assert set(listed) == {"delta", "Alpha", "beta", "100_000", "gamma"}
    first = kept.store.models(limit=2)
    rest = kept.store.models(after=first[-1].name)
    assert [row.name for row in (*first, *rest)] == listed
    assert [row.name for row in kept.store.models(like="ALPH")] == ["Alpha"]
    assert [row.name for row in kept.store.models(like="0_0")] == ["100_000"]
    assert kept.store.models(like="%") == []


def test_a_model_has_its_highest_version_its_stages_and_marks(kept: Kept) -> None:
    one, two, ten = (registration(version=version) for version in ("1.0", "2.0", "10.0"))
    for body in (ten, one, two):
        kept.add(body, "carol")
    kept.add(promotion(two, "staging"), "carol")
    kept.add(promotion(ten, "staging"), "carol")
    kept.add(promotion(one, "staging", rollback=True), "carol")
    kept.add(Withdrawn(ten.model, ten.version, ten.root, "staging"), "carol")
    row = kept.store.model("classifier")
    assert row is not None
    assert (row.highest, row.versions, row.changed) == ("10.0", 3, 7)
    assert row.stages == {"staging": ("2.0", "1.0")}
    assert row.marks == {"staging": "10.0"}
    assert kept.store.model("nobody's") is None


def test_versions_are_listed_from_the_last_one_and_found_however_they_are_spelt(
    kept: Kept,
) -> None:
    for number in range(5):
        kept.add(registration(version=f"1.{number}", provenance={"by": "job 7"}), "carol")
    listed = kept.store.versions("classifier", limit=3)
    assert [row.version for row in listed] == ["1.4", "1.3", "1.2"]
    rest = kept.store.versions("classifier", before=listed[-1].registered)
    assert [row.version for row in rest] == ["1.1", "1.0"]
    row = kept.store.version("classifier", "v1.0.0")
    assert row is not None
    assert (row.version, row.signers, row.registered, row.recalled) == ("1.0", ("carol",), 1, False)
    assert row.provenance == {"by": "job 7"}
    assert set(row.digests) == {"sha256", "sha512", "blake2b"}
    assert kept.store.version("classifier", "3") is None
    assert kept.store.version("classifier", "no version") is None


def test_content_is_found_under_each_of_its_digests_in_every_model_that_has_it(
    kept: Kept,
) -> None:
    one, other = registration("a", content="same"), registration("b", "7", content="same")
    kept.add(one, "carol")
    kept.add(other, "carol")
    for digest in one.digests.values():
        found = kept.store.versions_of(digest)
        assert [(row.model, row.version) for row in found] == [("a", "1.0"), ("b", "7")]
    for unknown in ("ab" * 32, "no digest", ""):
        assert kept.store.versions_of(unknown) == []


def test_recalls_are_listed_while_they_are_in_force(kept: Kept) -> None:
    one = registration()
    key = "cd" * 32
    kept.add(one, "carol")
    kept.add(Recalled("root", one.root, "wrong data"), "carol")
    kept.add(Recalled("key", key, "stolen"), "carol", "alice")
    kept.add(Recalled("root", one.digests["sha512"], "and worse"), "alice")
    store = kept.store
    assert [row.event for row in store.recalls()] == [4, 3, 2]
    assert [row.event for row in store.recalls(before=4, limit=1)] == [3]
    by_key, by_root = store.recalls()[1:]
    assert (by_key.kind, by_key.target, by_key.reason) == ("key", key, "stolen")
    assert (by_key.signers, by_key.versions) == (("carol", "alice"), ())
    assert (by_root.reason, by_root.versions) == ("wrong data", (("classifier", "1.0"),))
    assert [row.recalled for row in store.versions("classifier")] == [True]
    for digest in one.digests.values():
        found = store.recall_of("root", digest)
        assert found is not None
        assert found.reason == "and worse"
    kept.add(Restored("root", one.digests["blake2b"], "right after all"), "dave")
    assert [row.event for row in store.recalls()] == [3]
    assert store.recall_of("root", one.root) is None
    assert [row.recalled for row in store.versions("classifier")] == [False]
    kept.add(Restored("key", key, "found"), "dave")
    assert (store.recalls(), store.recall_of("key", key)) == ([], None)


def test_events_are_listed_by_what_they_are_about_the_last_first(kept: Kept) -> None:
    one, two = registration(version="1"), registration(version="2")
    kept.add(one, "carol")  # 1
    kept.add(two, "carol")  # 2
    kept.add(registration("other"), "carol")  # 3
    kept.add(promotion(two, "staging"), "carol")  # 4
    kept.add(Recalled("root", one.digests["sha512"], "bad"), "carol")  # 5
    kept.add(Recalled("key", "cd" * 32, "stolen"), "carol")  # 6
    kept.add(Restored("root", one.root, "good"), "dave")  # 7
    events = kept.store.events
    assert positions(events()) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert positions(events(before=5, limit=2)) == [4, 3]
    assert positions(events(Subject(model="classifier"))) == [7, 5, 4, 2, 1]
    assert positions(events(Subject(model="classifier"), before=5, limit=2)) == [4, 2]
    assert positions(events(Subject(model="classifier", version="1.0"))) == [7, 5, 1]
    for digest in one.digests.values():
        assert positions(events(Subject(digest=digest))) == [7, 5, 1]
    assert positions(events(Subject(key="cd" * 32))) == [6]
    assert events(Subject(digest="not hex")) == events(Subject(model="no model")) == []
    first = events(Subject(model="other"))[0]
    assert signed.event_of(signed.decode(first.encoded)).body == registration("other")


def test_contents_that_turn_out_to_be_one_are_one_in_every_list(kept: Kept) -> None:
    """Recalled under two algorithms by people who did not know of each other."""
    one = registration()
    kept.add(Recalled("root", one.digests["sha256"], "first"), "carol")
    kept.add(Recalled("root", one.digests["sha512"], "second"), "carol")
    both = {name: one.digests[name] for name in ("sha256", "sha512")}
    kept.add(Recalled("root", one.digests["blake2b"], "third", both), "carol")
    for digest in one.digests.values():
        assert positions(kept.store.events(Subject(digest=digest))) == [3, 2, 1]
    kept.add(Restored("root", one.digests["sha256"], "all of it"), "dave")
    assert kept.store.recalls() == []
    kept.add(one, "carol")
    assert len(kept.store.versions_of(one.digests["sha512"])) == 1
    assert list(kept.store.differences()) == []


def test_digests_are_listed_in_order_and_in_pages(kept: Kept) -> None:
    one, two = registration(version="1"), registration(version="2")
    kept.add(one, "carol")
    kept.add(two, "carol")
    kept.add(Recalled("root", "ab" * 32, "elsewhere"), "carol")
    every = kept.store.digests()
    assert every == sorted({*one.digests.values(), *two.digests.values(), "ab" * 32})
    pages = [kept.store.digests(limit=3)]
    while pages[-1]:
        pages.append(kept.store.digests(after=pages[-1][-1], limit=3))
    assert [digest for page in pages for digest in page] == every
