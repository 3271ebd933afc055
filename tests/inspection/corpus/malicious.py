# SPDX-License-Identifier: Apache-2.0
"""Every malicious model: each construct, in each position, in each format, and what surrounds them.

Written without Keras, so that none of its versions has a say in what an attacker can write.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.inspection.corpus import configs, containers, formats, graphs, legacy
from tests.inspection.corpus.case import Case
from tests.inspection.corpus.configs import Object, calling, function, obj, sequential
from tests.inspection.corpus.constructs import (
    REFUSE,
    REVIEW,
    Construct,
    all_constructs,
    classes,
    code_in_objects,
    custom,
    functions,
    names,
    numbers,
    readers,
)
from tests.inspection.corpus.positions import POSITIONS, named

ADVISORIES = (
    "CVE-2022-23564",
    "CVE-2022-23580",
    "CVE-2022-23582",
    "CVE-2022-23591",
    "CVE-2024-3660",
    "CVE-2025-1550",
    "CVE-2025-8747",
    "CVE-2025-9905",
    "CVE-2025-9906",
    "CVE-2025-12058",
    "CVE-2025-49655",
    "CVE-2026-0897",
    "CVE-2026-1462",
    "CVE-2026-1669",
    "CVE-2026-12479",
    "CVE-2026-12480",
)
"""Public advisories since 2021 that a model file alone is enough for, each with a case of its own.

Others need more than a file (``get_file`` and what it unpacks: CVE-2024-55459, CVE-2025-12060,
CVE-2025-12638; a command line: CVE-2022-29216; a call that Keras's loaders do not make:
CVE-2021-37678, CVE-2026-12481), or are of single operations of TensorFlow on hostile numbers.
"""


def _called(found: Construct) -> Object:
    """The construct in a layer, called where it is a function."""
    value = found.value
    if value.get("class_name") == "function":
        return calling(value)
    return named(value)


def _constructs() -> Iterator[Case]:
    for found in all_constructs():
        write = formats.archive(sequential(_called(found)))
        yield Case(f"{found.name}/keras", "model.keras", write, found.least, found.advisory)


_IN_EVERY_POSITION = (
    Construct("os.system", function("os", "system"), REFUSE, "CVE-2025-1550"),
    Construct("get_file", function("keras.utils", "get_file"), REFUSE, "CVE-2025-8747"),
    Construct("Popen", obj("subprocess", "Popen", {"name": "attacked", "args": ["true"]}), REFUSE),
    Construct("code", configs.code(), REVIEW, "CVE-2024-3660"),
    Construct("vocabulary", configs.layer("StringLookup", vocabulary="/etc/passwd"), REVIEW),
    Construct("custom", obj("my", "A", {"name": "a"}, registered_name="my_pkg>A"), REVIEW),
)


def _positions() -> Iterator[Case]:
    for found in _IN_EVERY_POSITION:
        for where, put in POSITIONS.items():
            write = formats.archive(put(found.value))
            name = f"{found.name} as {where}/keras"
            yield Case(name, "model.keras", write, found.least, found.advisory)


def _formats() -> Iterator[Case]:
    """A construct of each sort, in the other formats that have a configuration."""
    sorts = (functions()[:2], classes()[:1], custom()[:1], code_in_objects(), readers()[::6])
    for found in (*(one for sort in sorts for one in sort), *numbers()[:1], *names()[:1]):
        config = sequential(_called(found))
        yield Case(
            f"{found.name}/directory",
            "model",
            formats.directory(config),
            found.least,
            found.advisory,
        )
        yield Case(f"{found.name}/preset", "preset", formats.preset(config), found.least)


_PRESET_FILES = (
    "task.json",
    "preprocessor.json",
    "tokenizer.json",
    "image_converter.json",
    "audio_converter.json",
)


def _presets() -> Iterator[Case]:
    backbone = obj("keras_hub.src.models.bert.bert_backbone", "BertBackbone", {"name": "bert"})
    for name in _PRESET_FILES:
        for found in (*_IN_EVERY_POSITION[:3], *readers()[-4:-3]):
            config = obj(
                "keras_hub.src.models.task",
                "Task",
                {"name": "task", "backbone": backbone, "preprocessor": found.value},
            )
            write = formats.preset(backbone, {name: formats.text(config)})
            yield Case(f"{found.name} in {name}/preset", "preset", write, found.least)


def cases() -> list[Case]:
    """All of them; names are unique."""
    configured = [*_constructs(), *_positions(), *_formats(), *_presets()]
    others = [
        *legacy.hdf5_cases(),
        *containers.json_cases(),
        *containers.zip_cases(),
        *containers.npz_cases(),
        *containers.hdf5_cases(),
        *containers.two_formats_cases(),
        *containers.set_cases(),
        *graphs.cases(),
    ]
    return [*configured, *others]
