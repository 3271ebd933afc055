# SPDX-License-Identifier: Apache-2.0
"""Other libraries that wrap what is guarded, before or after us, and import hooks that rewrite."""

from __future__ import annotations

import functools
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wrapt

import keras_integrity_hook as kih
from keras_integrity_hook.hooks import wrapping

TARGETS = ("load_model", "save_model", "load_weights_only", "save_weights_only")


def by_functools(function: Any) -> Any:
    @functools.wraps(function)
    def profiled(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return profiled


def by_wrapt(function: Any) -> Any:
    @wrapt.decorator
    def traced(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return wrapped(*args, **kwargs)

    return traced(function)


def twice(function: Any) -> Any:
    return by_wrapt(by_functools(function))


def silently(function: Any) -> Any:
    def hiding(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return hiding


@pytest.fixture
def library(keras: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``saving_lib``; what it is given is taken back, and the guard is on at the end."""
    from keras.src.saving import saving_lib

    with monkeypatch.context():
        yield saving_lib
    kih.activate()
    kih.assert_active()


@pytest.fixture
def wrapped_by(library: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def wrap(how: Callable[[Any], Any]) -> dict[str, Any]:
        foreign = {name: how(getattr(library, name)) for name in TARGETS}
        for name, wrapper in foreign.items():
            monkeypatch.setattr(library, name, wrapper)
        return foreign

    yield wrap
    monkeypatch.undo()
    kih.activate()


def build(keras: Any) -> Any:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)


each_wrapper = pytest.mark.parametrize("how", [by_functools, by_wrapt, twice])


@each_wrapper
def test_wrapper_on_top_of_ours_is_followed(
    keras: Any, library: Any, wrapped_by: Any, how: Callable[[Any], Any], tmp_path: Path
) -> None:
    foreign = wrapped_by(how)
    kih.assert_active()
    kih.activate()
    kih.assert_active()
    assert all(getattr(library, name) is wrapper for name, wrapper in foreign.items())
    path = tmp_path / "m.keras"
    build(keras).save(path)
    assert kih.verify(path).state == "sealed"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("m")] == ["m.keras"]
    keras.models.load_model(path)
    flip(path)
    with pytest.raises(kih.ChecksumMismatchError):
        keras.models.load_model(path)


@each_wrapper
def test_wrapper_on_top_of_ours_stays_when_ours_is_taken_off(
    keras: Any, library: Any, wrapped_by: Any, how: Callable[[Any], Any], tmp_path: Path
) -> None:
    foreign = wrapped_by(how)
    kih.deactivate()
    try:
        assert all(getattr(library, name) is wrapper for name, wrapper in foreign.items())
        with pytest.raises(kih.NotActiveError):
            kih.assert_active()
        build(keras).save(tmp_path / "m.keras")
        assert kih.inspect(tmp_path / "m.keras").state == "unsealed"
    finally:
        kih.activate()
    kih.assert_active()
    assert all(getattr(library, name) is wrapper for name, wrapper in foreign.items())
    build(keras).save(tmp_path / "m.keras")
    assert kih.inspect(tmp_path / "m.keras").state == "sealed"


def test_wrapper_that_does_not_tell_what_it_calls_is_said_to_hide_the_guard(
    library: Any, wrapped_by: Any
) -> None:
    foreign = wrapped_by(silently)
    for _ in range(2):
        with pytest.raises(kih.NotActiveError, match=r"hidden by another library.*load_model"):
            kih.assert_active()
        kih.activate()  # a second guard on top of it might be one too many
        assert all(getattr(library, name) is wrapper for name, wrapper in foreign.items())
    states = {target.name: target.state for target in kih.status().targets}
    assert states["keras.src.saving.saving_lib.load_model"] == "hidden"


def test_wrapper_from_before_us_is_wrapped_as_any_function() -> None:
    class Owner:
        method = silently(lambda self: "original")

    def guard(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return f"guarded {wrapped(*args, **kwargs)}"

    wrapping.wrap(Owner, "method", guard)
    wrapping.wrap(Owner, "method", guard)
    assert wrapping.state(Owner, "method") == "wrapped"
    assert Owner().method() == "guarded original"
    wrapping.unwrap(Owner, "method")
    assert (wrapping.state(Owner, "method"), Owner().method()) == ("unwrapped", "original")


def test_wrappers_that_wrap_each_other_end() -> None:
    class Owner:
        @staticmethod
        def method() -> None: ...

    one, other = by_functools(Owner.method), by_functools(Owner.method)
    one.__wrapped__, other.__wrapped__ = other, one
    Owner.method = one  # type: ignore[method-assign]
    assert wrapping.state(Owner, "method") == "unwrapped"


def test_import_hook_that_rewrites_every_module_leaves_this_package_as_it_is(
    keras: Any, tmp_path: Path
) -> None:
    """As beartype's and typeguard's do: their checks would raise in the middle of a refusal."""
    build(keras).save(tmp_path / "m.keras")
    flip(tmp_path / "m.keras")
    code = """
        import keras_integrity_hook as kih
        kih.activate()
        import keras
        import sys
        from importlib import machinery
        from importlib.machinery import FileFinder, SourceFileLoader

        class Rewriting(SourceFileLoader):
            def exec_module(self, module):
                print("rewritten", module.__name__)
                super().exec_module(module)

        extensions = machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES
        sys.path_hooks.insert(0, FileFinder.path_hook(extensions, (Rewriting, [".py"])))
        sys.path_importer_cache.clear()
        try:
            keras.models.load_model(sys.argv[1])
        except kih.ChecksumMismatchError:
            print("refused")
        import nturl2path
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "m.keras")],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert "refused" in lines, done.stderr
    assert [line for line in lines if line.startswith("rewritten")]
    assert not [line for line in lines if "keras_integrity_hook" in line]
