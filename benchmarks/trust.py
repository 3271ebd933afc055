# SPDX-License-Identifier: Apache-2.0
"""What signatures, an audit log and seals beside the file cost above a seal that nobody signed.

All on the same model in the same process, with the hook active; only the settings differ.
"""

from __future__ import annotations

import contextlib
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras_integrity_hook
from benchmarks.cases import SMALL_MODEL, SMALL_RUNS, hooked, load, save
from benchmarks.measure import Samples, difference, in_fresh_process, interleaved
from benchmarks.models import build, randomize, width_for
from benchmarks.results import Result

SIGNATURE = 3.0  # milliseconds that one may add to a load
FIRST_RUNS = 11
_NAME = "m.keras"
_FIGURES = {
    "signed load": "load",
    "signed verify": "verify",
    "signed save": "save",
    "audited load": "load",
    "audited save": "save",
    "sidecar load": "load",
    "sidecar verify": "verify",
    "sidecar save": "save",
}


def small(folder: Path) -> list[Result]:
    """Milliseconds above an unsigned seal in the file, where there is next to nothing to hash."""
    model = build(width_for(SMALL_MODEL))
    kinds = prepared(model, folder)
    samples = interleaved(turns(model, folder, kinds), SMALL_RUNS, settle=False)
    label = f"{SMALL_MODEL // 1000} kB .keras"
    figures = [
        Result(
            label,
            f"{name} above unsigned",
            difference(samples, name, base) * 1000,
            "ms",
            SIGNATURE if name in ("signed load", "signed verify") else None,
            samples,
        )
        for name, base in _FIGURES.items()
    ]
    return [*figures, first_signature(label, folder, kinds)]


def large(size: int, folder: Path, runs: int) -> list[Result]:
    """The same of ``size`` bytes, as ratios: of it, and of the same with an unsigned seal."""
    model = build(width_for(size))
    randomize(model)
    kinds = prepared(model, folder)
    reading = {
        name: turn for name, turn in turns(model, folder, kinds).items() if "save" not in name
    }
    samples = interleaved(reading, runs)
    label = f"{size // 1_000_000} MB .keras"
    return [
        Result(label, f"{name} to unsigned", ratio(samples, name, base), "x", None, samples)
        for name, base in _FIGURES.items()
        if name in samples
    ]


def ratio(samples: Samples, name: str, base: str) -> float:
    """Median over the rounds of ``name`` divided by ``base`` in the same round."""
    pairs = zip(samples[name], samples[base], strict=True)
    return statistics.median(value / unit for value, unit in pairs)


def prepared(model: Any, folder: Path) -> dict[str, dict[str, str]]:
    """Save ``model`` in each way, below ``folder``; the settings of each, as variables."""
    from keras_integrity_hook.signing import private, trust_edit
    from keras_integrity_hook.signing.trust_file import TrustedKey

    public = private.write_pair(str(folder / "key"), "ed25519", None)
    trusted = folder / "trust.toml"
    trust_edit.add_key(
        str(trusted), TrustedKey("benchmark", public.keyid, public.scheme, public.pem)
    )
    kinds = {
        "": {},
        "signed": {
            "KERAS_INTEGRITY_KEY": str(folder / "key"),
            "KERAS_INTEGRITY_TRUST": str(trusted),
            "KERAS_INTEGRITY_REQUIRE": "signed",
        },
        "audited": {"KERAS_INTEGRITY_AUDIT_LOG": str(folder / "audit.jsonl")},
        "sidecar": {"KERAS_INTEGRITY_STORE": "sidecar"},
    }
    for kind, variables in kinds.items():
        path = place(folder, kind)
        path.parent.mkdir()
        with environment(variables):
            hooked(lambda path=path: save(model, path))  # type: ignore[misc]
    must_differ(folder, kinds)
    return kinds


def place(folder: Path, kind: str) -> Path:
    """Where the model of this kind is."""
    return folder / (kind or "unsigned") / _NAME


def must_differ(folder: Path, kinds: Mapping[str, Mapping[str, str]]) -> None:
    """Stop a benchmark that would compare the same with the same."""
    with environment(kinds["signed"]):
        signers = keras_integrity_hook.verify(place(folder, "signed")).signers
        with contextlib.suppress(keras_integrity_hook.NotSignedError):
            keras_integrity_hook.verify(place(folder, ""))
            raise RuntimeError("a model that nobody signed was admitted: nothing to compare")
    beside = keras_integrity_hook.inspect(place(folder, "sidecar")).seal
    is_audited = (folder / "audit.jsonl").stat().st_size > 0
    if signers != ("benchmark",) or beside is None or beside.store != "sidecar" or not is_audited:
        raise RuntimeError("the models are not what they are called: nothing to compare")


def turns(
    model: Any, folder: Path, kinds: Mapping[str, Mapping[str, str]]
) -> dict[str, Callable[[], float]]:
    """``load``, ``verify`` and ``save``, and each of them of each kind."""
    found: dict[str, Callable[[], float]] = {}
    for kind, variables in kinds.items():
        path = place(folder, kind)
        actions: dict[str, Callable[[], object]] = {
            "load": lambda path=path: load(model, path),  # type: ignore[misc]
            "verify": lambda path=path: keras_integrity_hook.verify(path),  # type: ignore[misc]
            "save": lambda path=path: save(model, path),  # type: ignore[misc]
        }
        for what, action in actions.items():
            found[f"{kind} {what}".strip()] = under(variables, action)
    return found


def under(variables: Mapping[str, str], action: Callable[[], object]) -> Callable[[], float]:
    """What times ``action`` under settings that are there before the clock starts."""

    def turn() -> float:
        with environment(variables):
            return hooked(action)

    return turn


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set ``variables`` and nothing else of ours in this process, for the time of the block."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("KERAS_INTEGRITY"):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def first_signature(label: str, folder: Path, kinds: Mapping[str, Mapping[str, str]]) -> Result:
    """What the first signature of a process costs: cryptography is imported for it."""

    def first(kind: str) -> float:
        with environment(kinds[kind]):
            return float(in_fresh_process(("first", str(place(folder, kind))), {}))

    samples = interleaved(
        {"first": lambda: first(""), "first signed": lambda: first("signed")},
        FIRST_RUNS,
        settle=False,
    )
    extra = difference(samples, "first signed", "first") * 1000
    return Result(label, "first signature of a process", extra, "ms", None, samples)
