# SPDX-License-Identifier: Apache-2.0
"""Models are found in a store by listings alone, and a hostile store ends no search."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from keras_integrity_hook.errors import (
    DamagedFileError,
    LimitExceededError,
    NotAModelError,
    UnknownSchemeError,
    UnreadableFileError,
)
from keras_integrity_hook.fleet import search, store_discovery, targets
from keras_integrity_hook.fleet.targets import Target
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import folders, set_names


def found(*urls: str) -> list[Target]:
    return list(search.find(urls, to_change=False))


def names(listed: list[Target]) -> list[tuple[str, str]]:
    return sorted((one.location, one.container) for one in listed)


def test_files_are_found_at_any_depth_and_other_things_are_not(odd: Any) -> None:
    for path in ("a.keras", "x/b.H5", "x/y/c.hdf5", "README.md", "x/d.npz", "x/keras", "x/e.seal"):
        odd.objects[f"bucket/{path}"] = b"x"
    assert names(found("odd://bucket")) == [
        ("odd://bucket/a.keras", ""),
        ("odd://bucket/x/b.H5", ""),
        ("odd://bucket/x/y/c.hdf5", ""),
    ]
    assert not odd.read


def test_a_model_that_is_named_is_found_with_what_lies_beside_it(odd: Any) -> None:
    for path in ("a.keras", "a.keras.seal", "a.keras.sig", "model.sig", "b.keras.seal"):
        odd.objects[f"bucket/{path}"] = b"x"
    (named,) = found("odd://bucket/a.keras")
    (listed,) = found("odd://bucket")
    assert named == listed
    assert named.beside == ("a.keras.seal", "a.keras.sig", "model.sig")


SETS = {
    "saved-model": ["saved_model.pb", "variables/variables.index", "assets/words.h5"],
    "keras-directory": ["config.json", "metadata.json", "model.weights.h5"],
    "keras-hub-preset": ["keras_integrity_preset.seal", "config.json", "model.weights.h5"],
    "orbax": ["_CHECKPOINT_METADATA", "default/manifest.ocdbt", "default/d/0.h5"],
}


@pytest.mark.parametrize("kind", SETS)
def test_a_directory_that_is_a_set_is_one_model(odd: Any, kind: str) -> None:
    for path in SETS[kind]:
        odd.objects[f"bucket/v1/{path}"] = b"x"
    odd.objects["bucket/other.keras"] = b"x"
    assert names(found("odd://bucket/")) == [
        ("odd://bucket/other.keras", ""),
        ("odd://bucket/v1", kind),
    ]
    assert names(found("odd://bucket/v1")) == [("odd://bucket/v1", kind)]


STEMS = {
    "tf-checkpoint": ("ckpt-1", ["ckpt-1.index", "ckpt-1.data-00000-of-00001", "checkpoint"]),
    "keras-shards": (
        "model.weights.json",
        ["model.weights.json", "model_00000.weights.h5", "model_00001.weights.h5"],
    ),
    "keras-backup": (
        "training_metadata.json",
        ["training_metadata.json", "latest.weights.h5"],
    ),
}


@pytest.mark.parametrize("kind", STEMS)
def test_files_of_one_stem_are_one_model(odd: Any, kind: str) -> None:
    stem, files = STEMS[kind]
    for path in files:
        odd.objects[f"bucket/{path}"] = b"x"
    assert names(found("odd://bucket")) == [(f"odd://bucket/{stem}", kind)]
    (named,) = found(f"odd://bucket/{stem}")
    assert named.container in (kind, "")


def test_another_version_of_one_file_is_another_version_of_the_set(odd: Any) -> None:
    for path in SETS["keras-directory"]:
        odd.objects[f"bucket/{path}"] = b"x"
    (before,) = found("odd://bucket")
    odd.objects["bucket/model.weights.h5"] = b"y"
    (after,) = found("odd://bucket")
    assert before.key != after.key


def test_a_model_that_no_loader_of_the_set_reads_is_found_in_its_directory(odd: Any) -> None:
    for path in (*SETS["saved-model"], "hidden.keras", "below/hidden.h5"):
        odd.objects[f"bucket/{path}"] = b"x"
    assert names(found("odd://bucket")) == [
        ("odd://bucket", "saved-model"),
        ("odd://bucket/below/hidden.h5", ""),
        ("odd://bucket/hidden.keras", ""),
    ]


def test_an_upload_that_is_going_on_is_no_model_yet(odd: Any) -> None:
    odd.objects["bucket/.keras-integrity-0123.keras"] = b"x"
    (only,) = found("odd://bucket")
    assert isinstance(only.error, NotAModelError)


def test_what_is_not_there_or_has_no_model_is_an_error_in_its_place(odd: Any) -> None:
    odd.objects["bucket/x/README.md"] = b"x"
    gone, empty = found("odd://bucket/none.keras", "odd://bucket/x")
    assert isinstance(gone.error, UnreadableFileError)
    assert isinstance(empty.error, NotAModelError)


def test_an_unknown_scheme_is_an_error_in_its_place() -> None:
    (only,) = found("zip://bucket")
    assert isinstance(only.error, UnknownSchemeError)


def test_a_directory_that_cannot_be_listed_hides_nothing_of_the_others(odd: Any) -> None:
    def fail() -> list[dict[str, Any]]:
        raise PermissionError("no \x1b[2J")

    odd.objects["bucket/b/m.keras"] = odd.objects["bucket/a/m.keras"] = b"x"
    odd.listings["bucket/a"] = fail
    first, second = sorted(found("odd://bucket"), key=lambda one: one.location)
    assert first.location == "odd://bucket/a"
    assert first.error is not None
    assert first.error.cause.isprintable()
    assert second.location == "odd://bucket/b/m.keras"


class WordlessError(Exception):
    """As a package may have it whose error formats what it lacks."""

    def __str__(self) -> str:
        raise RuntimeError("no response")


def test_whatever_a_store_raises_hides_nothing_of_the_others(odd: Any) -> None:
    def fail() -> list[dict[str, Any]]:
        raise WordlessError

    for name in ("a", "b", "c"):
        odd.objects[f"bucket/{name}/m.keras"] = b"x"
    odd.listings["bucket/b"] = fail
    each = found("odd://bucket")
    assert [one.location for one in each if one.error is None] == [
        "odd://bucket/a/m.keras",
        "odd://bucket/c/m.keras",
    ]
    (error,) = (one.error for one in each if one.error is not None)
    assert error.path == "odd://bucket/b"


def test_a_directory_that_vanishes_is_no_error(odd: Any) -> None:
    odd.objects["bucket/m.keras"] = b"x"
    odd.objects["bucket/gone/m.keras"] = b"x"

    def listing() -> list[dict[str, Any]]:
        del odd.objects["bucket/gone/m.keras"]
        return [
            {"name": "bucket/m.keras", "size": 1, "type": "file"},
            {"name": "bucket/gone", "size": 0, "type": "directory"},
        ]

    odd.listings["bucket"] = listing
    assert names(found("odd://bucket")) == [("odd://bucket/m.keras", "")]


class _Loop:
    """Each directory of it holds a model, and itself as often as it likes."""

    def __init__(self, store: Any, again: int) -> None:
        self._again = again
        self.directories = 0
        store.listings["bucket"] = self.listing("bucket")
        self._listings = store.listings

    def listing(self, path: str) -> Callable[[], list[dict[str, Any]]]:
        def listed() -> list[dict[str, Any]]:
            self.directories += 1
            inner = [f"{path}/l{number}" for number in range(self._again)]
            for one in inner:
                self._listings[one] = self.listing(one)
            folders = [{"name": one, "size": 0, "type": "directory"} for one in inner]
            return [{"name": f"{path}/m.keras", "size": 1, "type": "file"}, *folders]

        return listed


def test_a_directory_that_lists_itself_ends_at_a_depth(odd: Any) -> None:
    _Loop(odd, 1)
    listed = found("odd://bucket")
    assert isinstance(listed[-1].error, LimitExceededError)
    assert len(listed) == LIMITS.tree_depth + 2
    assert sum(odd.listed.values()) == LIMITS.tree_depth + 1


def test_directories_that_branch_for_ever_end_at_a_number(
    odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "LIMITS", LIMITS._replace(tree_entries=2_000))
    monkeypatch.setattr(store_discovery, "LIMITS", LIMITS._replace(tree_entries=2_000))
    loop = _Loop(odd, 3)
    listed = found("odd://bucket")
    assert isinstance(listed[-1].error, LimitExceededError)
    assert loop.directories < 2_000


@pytest.mark.parametrize(
    "name", ["..", ".", "a\0b.keras", "x" * (LIMITS.set_name + 10) + ".keras"], ids=repr
)
def test_names_that_lead_elsewhere_or_are_endless_are_told_and_not_followed(
    odd: Any, name: str
) -> None:
    odd.listings["bucket"] = lambda: [
        {"name": f"bucket/{name}", "size": 1, "type": "file"},
        {"name": "bucket/good.keras", "size": 1, "type": "file"},
    ]
    listed = found("odd://bucket")
    assert "odd://bucket/good.keras" in [one.location for one in listed]
    odd_ones = [one for one in listed if one.error]
    assert len(odd_ones) == 1
    assert len(odd_ones[0].location) <= LIMITS.audit_text + 20


@pytest.mark.parametrize("name", ["..", "a\0b"], ids=repr)
def test_name_in_a_model_that_leads_elsewhere_is_told_and_its_load_is_refused(
    odd: Any, name: str
) -> None:
    odd.objects["bucket/v1/saved_model.pb"] = b"x"
    odd.objects["bucket/v1/variables/variables.index"] = b"x"
    odd.listings["bucket/v1/variables"] = lambda: [
        {"name": "bucket/v1/variables/variables.index", "size": 1, "type": "file"},
        {"name": f"bucket/v1/variables/{name}", "size": 1, "type": "file"},
    ]
    listed = found("odd://bucket/v1")
    assert [one.container for one in listed if not one.error] == ["saved-model"]
    assert [type(one.error) for one in listed if one.error] == [DamagedFileError]

    place = folders.place_of("odd://bucket/v1")
    assert place is not None
    with pytest.raises(DamagedFileError):
        set_names.present(place)


def test_the_search_holds_no_more_of_many_directories_than_of_few(odd: Any) -> None:
    entry = {"size": 1, "type": "file", "ETag": "0123456789abcdef"}

    def listing_of(path: str) -> Callable[[], list[dict[str, Any]]]:
        return lambda: [entry | {"name": f"{path}/{n}.keras"} for n in range(200)]

    def peak(directories: int) -> int:
        paths = [f"bucket/d{number}" for number in range(directories)]
        odd.listings["bucket"] = lambda: [
            {"name": path, "size": 0, "type": "directory"} for path in paths
        ]
        odd.listings.update((path, listing_of(path)) for path in paths)
        tracemalloc.start()
        try:
            count = sum(1 for _ in search.find(["odd://bucket"], to_change=False))
            assert count == 200 * directories
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few = peak(30)
    assert peak(150) < 1.5 * few + 500_000


def test_an_object_of_a_hundred_thousand_is_not_held_longer_than_its_listing(odd: Any) -> None:
    odd.listings["bucket"] = lambda: [
        {"name": f"bucket/{number}.keras", "size": 1, "type": "file", "ETag": "x"}
        for number in range(100_000)
    ]
    assert sum(1 for _ in search.find(["odd://bucket"], to_change=False)) == 100_000


def test_errors_in_a_search_are_damage_only_where_somebody_could_see_it(odd: Any) -> None:
    odd.listings["bucket"] = lambda: [{"name": "bucket/..", "size": 1, "type": "file"}]
    (only,) = found("odd://bucket")
    assert isinstance(only.error, DamagedFileError)
