# SPDX-License-Identifier: Apache-2.0
"""Every form of single files and every kind of set is known in every room that has to know it.

These tests run over ``formats.FORMATS`` and ``kinds.KINDS``: whoever adds one gives it a sample in
``tests/support/models.py``, and the first room that was forgotten fails here.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import keras_integrity_hook as kih
from keras_integrity_hook.containers import opening, recognition
from keras_integrity_hook.containers.formats import FORMATS
from keras_integrity_hook.containers.kinds import KINDS, Place
from keras_integrity_hook.downloads import rules
from keras_integrity_hook.fleet import discovery, search
from keras_integrity_hook.fleet.discovery import Role
from keras_integrity_hook.inspection import inspecting, pickles
from keras_integrity_hook.inspection.pieces import Pieces
from keras_integrity_hook.isolation import hosts
from keras_integrity_hook.remote import folders, set_names, set_putting
from keras_integrity_hook.sealing import statement
from tests.fuzz.run import TARGETS
from tests.support.models import SETS, SINGLE

REPOSITORY = Path(__file__).parents[2]
SAMPLES = SINGLE | SETS
BY_FORM = pytest.mark.parametrize("container", FORMATS)
BY_KIND = pytest.mark.parametrize("container", KINDS)
ALL = pytest.mark.parametrize("container", [*FORMATS, *KINDS])


def test_each_has_a_sample_and_a_name_that_seals_may_state() -> None:
    assert set(statement.FILES) == set(SINGLE) == set(FORMATS)
    assert set(statement.SETS) == set(SETS) == set(KINDS)


@ALL
def test_what_is_sealed_is_told_by_its_container_and_unsealed_byte_for_byte(
    container: str, tmp_path: Path
) -> None:
    sample = SAMPLES[container]
    path = sample.write(tmp_path)
    top = sample.top(tmp_path)
    assert kih.seal(path).container == container
    assert (kih.verify(path).state, kih.verify(path).others) == ("sealed", ())
    kih.unseal(path)
    left = {one.relative_to(top).as_posix(): one for one in top.rglob("*") if one.is_file()}
    assert {name: one.read_bytes() for name, one in left.items()} == sample.files


@ALL
def test_a_seal_is_signed_again_where_it_is(container: str, tmp_path: Path, home: Path) -> None:
    pytest.importorskip("cryptography")
    from tests.support.signers import let_trust, make_key

    path = SAMPLES[container].write(tmp_path)
    kih.seal(path)
    for name in ("ann", "bob"):
        let_trust(name, make_key(tmp_path / name))
        kih.sign(path, key=str(tmp_path / name))
    assert kih.verify(path).signers == ("ann", "bob")


@BY_KIND
def test_every_file_of_a_set_is_covered(container: str, tmp_path: Path) -> None:
    sample = SETS[container]
    for number, name in enumerate(sample.files):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = sample.write(folder)
        kih.seal(path)
        file = sample.top(folder) / name
        file.write_bytes(file.read_bytes()[:-1] + b"\xff")
        with pytest.raises(kih.IntegrityError):
            kih.verify(path)


@ALL
def test_it_is_found_in_a_directory_by_commands_that_write_too(
    container: str, tmp_path: Path
) -> None:
    path = SAMPLES[container].write(tmp_path)
    found = discovery.model_files([str(tmp_path)], to_change=True)
    assert [(one.path, one.role) for one in found] == [(str(path), Role.MODEL)]


@ALL
def test_it_is_found_told_and_verified_in_a_store(
    container: str, tmp_path: Path, memory_store: str
) -> None:
    sample = SAMPLES[container]
    kih.seal(sample.write(tmp_path))
    _copy(tmp_path, memory_store)
    url = f"{memory_store}/{sample.name}"
    told = container if container in KINDS else ""
    found = search.find([memory_store], to_change=False)
    assert [(one.location, one.container, one.error) for one in found] == [(url, told, None)]
    place = folders.place_of(url)
    assert (place.kind.container if place else "") == told
    report = kih.verify(url)
    assert (report.state, report.container) == ("sealed", container)


@ALL
def test_it_is_sealed_and_unsealed_where_it_lies_in_a_store(
    container: str, tmp_path: Path, memory_store: str
) -> None:
    sample = SAMPLES[container]
    sample.write(tmp_path)
    _copy(tmp_path, memory_store)
    url = f"{memory_store}/{sample.name}"
    assert kih.seal(url).container == container
    assert kih.verify(url).state == "sealed"
    kih.unseal(url)
    assert kih.verify(url).state == "unsealed"


@BY_FORM
def test_damage_that_hits_no_named_part_is_told_in_words_of_its_own(container: str) -> None:
    told = [form.structure for form in FORMATS.values()]
    assert FORMATS[container].structure
    assert told.count(FORMATS[container].structure) == 1


@BY_FORM
def test_a_download_of_it_is_one_of_a_model(container: str) -> None:
    assert all(rules.is_model_name(f"model{end}") for end in FORMATS[container].suffixes)


@BY_FORM
def test_its_bytes_are_looked_at_by_more_than_a_search_for_pickles(
    container: str, tmp_path: Path
) -> None:
    path = SINGLE[container].write(tmp_path)
    with opening.open_model(path) as model:
        pieces = Pieces(model)
        whole = next(iter(pieces.walk()))
        assert pickles.inspect not in inspecting.inspectors_of(whole, pieces)


@BY_FORM
def test_a_fuzzer_tries_its_parser(container: str) -> None:
    module = FORMATS[container].put_block.__module__.rpartition(".")[2]
    fuzzers = [REPOSITORY / "tests" / "fuzz" / f"{target}.py" for target in TARGETS]
    assert any(f"{module}.locate(" in file.read_text() for file in fuzzers)


@BY_FORM
def test_documents_name_its_suffixes(container: str) -> None:
    for document in ("README.md", "docs/seal-format.md", "docs/how-it-works.md"):
        text = (REPOSITORY / document).read_text()
        assert all(f"`{end}`" in text for end in FORMATS[container].suffixes), document


@BY_KIND
def test_the_format_of_the_seal_has_a_row_for_it(container: str) -> None:
    text = (REPOSITORY / "docs" / "seal-format.md").read_text()
    assert f"| `{container}`" in text


@BY_KIND
def test_what_says_that_it_is_whole_goes_up_last_and_is_a_file_of_it(
    container: str, tmp_path: Path, memory_store: str
) -> None:
    """Without that an older model behind a URL is removed before the new one is up."""
    sample = SETS[container]
    path = sample.write(tmp_path)
    kih.seal(path)
    local = recognition.recognise(str(path))
    assert local is not None
    place = Place(local.kind, f"{memory_store}/m", local.stem)
    names = [*sample.files, place.seal]
    assert set_names.heads_of(place, names)
    for _ in range(2):
        set_putting.Upload(local.directory, place).finish(names)
        assert set(set_names.present(place)) == set(names)


@ALL
def test_what_loads_it_in_a_sandbox_is_a_host_or_nothing(container: str) -> None:
    assert hosts.host_of(container) in (*hosts.HOSTS, "")


def _copy(folder: Path, url: str) -> None:
    """Put every file in ``folder`` below ``url``."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            memory.pipe(f"{url}/{file.relative_to(folder).as_posix()}", file.read_bytes())
