# SPDX-License-Identifier: Apache-2.0
"""What a store or a seal calls a file leads into the directory that it is put in, and not out."""

from __future__ import annotations

import ntpath
import os
import posixpath
from pathlib import Path
from types import ModuleType

import pytest

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import SAVED_MODEL, Place
from keras_integrity_hook.errors import DamagedFileError, MalformedSealError, RemoteError
from keras_integrity_hook.files import entry_names
from keras_integrity_hook.fleet import copying
from keras_integrity_hook.remote import set_names, sources, spool

ANYWHERE = ["", "/x", "x/", "a//b", "../x", "a/../../x", ".", "a\0b"]
ON_WINDOWS = ["..\\x", "a\\..\\..\\x", "C:x", "C:/x", "\\\\host\\x", ".. /x", ".../x", "a:b"]
DEVICES = ["nul", "a/CON", "com1.txt", "NUL .h5"]


@pytest.mark.parametrize("rules", [posixpath, ntpath])
def test_name_that_leads_out_is_none(rules: ModuleType) -> None:
    assert not any(entry_names.is_below(name, rules) for name in ANYWHERE)
    assert entry_names.is_below("variables/variables.data-00000-of-00001", rules)
    assert entry_names.is_below("assets/.hidden/ä b.txt", rules)


def test_name_that_leads_out_on_windows_is_none_there() -> None:
    names = [*ON_WINDOWS, *DEVICES]
    assert [name for name in names if entry_names.is_below(name, ntpath)] == []
    assert all(entry_names.is_below(name, posixpath) for name in names)


def test_whoever_puts_files_under_a_strangers_names_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_entry(name: str, rules: ModuleType = os.path) -> bool:
        return on_any_system(name, ntpath)

    on_any_system = entry_names.is_entry
    monkeypatch.setattr(entry_names, "is_entry", is_entry)
    files = pytest.importorskip("fsspec").filesystem("memory")
    files.pipe("/windows/m/assets/..\\..\\x", b"x")
    files.pipe("/windows/..\\m.keras", b"x")
    with pytest.raises(DamagedFileError, match="odd name"):
        set_names.present(Place(SAVED_MODEL, "memory://windows/m", ""))
    with pytest.raises(RemoteError, match="leads elsewhere"):
        copying.copy("memory://windows/m", str(tmp_path))
    with (
        sources.open_source("memory://windows/..\\m.keras") as source,
        pytest.raises(RemoteError, match="no file"),
        spool.fetched(source),
    ):
        pass
    with pytest.raises(MalformedSealError, match="outside"):
        file_set.name_of(Place(SAVED_MODEL, "m", ""), "..%5C..%5Cx")
