# SPDX-License-Identifier: Apache-2.0
"""Classes of Keras's own that do what their configuration says: run code, read files, call by name.

Each is a modelling object, so that the allowlist lets it through, and each was an advisory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.inspection import op_layers, references
from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.references import Reference
from keras_integrity_hook.inspection.rules import found

_VOCABULARY = ("vocabulary",)
_READERS = {
    "IndexLookup": _VOCABULARY,
    "StringLookup": _VOCABULARY,
    "IntegerLookup": _VOCABULARY,
    "TextVectorization": _VOCABULARY,
    "WordPieceTokenizer": _VOCABULARY,
    "BytePairTokenizer": ("vocabulary", "merges"),
    "SentencePieceTokenizer": ("proto",),
    "VocabularyFileCategoricalColumn": ("vocabulary_file",),
    "EmbeddingColumn": ("ckpt_to_load_from",),
}
"""Classes that read a file where a text stands for what they need. Those of KerasHub have a
subclass for each model, so that theirs are told by the end of the name."""
_TOKENIZER_FILES = ("vocabulary", "merges", "proto")

CLASSES = frozenset({*_READERS, *references.CODE, *op_layers.CLASSES})
"""Every class that is looked at here by its exact name."""

_SECRET = re.compile(
    r"^(?:file:)?/*(?:etc|proc|dev|sys|var/run|run)(?:/|$)|^\\\\|^(?:https?|ftp|smb|ldap)://"
    r"|/\.(?:ssh|aws|kube|gnupg|docker|config|netrc|env)\b|\bid_(?:rsa|ed25519|ecdsa)\b|^\.netrc",
    re.IGNORECASE,
)
"""Where no vocabulary and no model lies, and other machines."""


def of_class(name: str, place: Place, file: str) -> Iterator[Finding]:
    """The findings in the configuration of an object of the class ``name``."""
    config = place.config()
    if name == "Lambda":
        yield from _lambda(config, place, file)
    elif name == "TFSMLayer":
        yield from _path(config.get("filepath"), "saved-model-path", place, file, "filepath")
    elif name in references.CODE:
        yield found(references.CODE[name], file, str(place), name)
    elif name in op_layers.CLASSES:
        yield from op_layers.findings(name, config, place, file)
    else:
        keys = _READERS.get(name) or (_TOKENIZER_FILES if name.endswith("Tokenizer") else ())
        for key in keys:
            if isinstance(config.get(key), str):
                yield from _path(config[key], "reads-file", place, file, key)


def _lambda(config: dict[str, Any], place: Place, file: str) -> Iterator[Finding]:
    """The functions of a Lambda layer: bytecode, or a name.

    Bytecode in an object of its own (``__lambda__``) is found where that stands.
    """
    for key in ("function", "output_shape", "mask"):
        value, kind = config.get(key), config.get(f"{key}_type")
        is_code = kind == "lambda" or (key == "function" and isinstance(value, list))
        if value is not None and is_code:
            yield found("lambda-code", file, place.inner(key), "bytecode")
        elif isinstance(value, str) and (key == "function" or kind == "function"):
            module = config.get("module" if key == "function" else f"{key}_module")
            named = Reference(module if isinstance(module, str) else "", value, "", True)
            rule = references.judged(named)
            if rule:
                yield found(rule, file, place.inner(key), str(named), object=named.full_name)


def _path(value: Any, rule: str, place: Place, file: str, key: str) -> Iterator[Finding]:
    text = value if isinstance(value, str) else repr(type(value).__name__)
    is_secret = isinstance(value, str) and (_SECRET.search(value) or ".." in value.split("/"))
    yield found("reads-secret" if is_secret else rule, file, place.inner(key), text)
