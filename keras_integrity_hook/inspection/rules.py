# SPDX-License-Identifier: Apache-2.0
"""Every rule of inspection: its word, its verdict, and why. Docs, settings and ``scan`` read this.

A word is stable: policies name it, and so do baselines of SARIF. A verdict is what the worst of the
supported versions of Keras would do with the construct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.texts import printable

_CONSTRUCT = 120  # characters of what a finding quotes
_PLACE = 300
_OBJECT = 255

_REVIEW, _REFUSE = Verdict.REVIEW, Verdict.REFUSE


class Rule(NamedTuple):
    """One rule.

    Attributes:
        word: its stable name.
        verdict: of its findings, where no setting changes it.
        what: what it finds, a noun phrase.
        why: what loading that would do, a sentence without a final stop.
        since: advisories and CVEs that it answers; empty where there is none.
        by_safe_mode: the newest Keras refuses this in safe mode alone: a load that was asked for
            with ``safe_mode=False`` may have it, any other is stopped.
    """

    word: str
    verdict: Verdict
    what: str
    why: str
    since: tuple[str, ...] = ()
    by_safe_mode: bool = False


def found(  # noqa: PLR0913
    word: str,
    file: str,
    place: str,
    construct: str,
    *,
    why: str | None = None,
    object: str = "",
    verdict: Verdict | None = None,
) -> Finding:
    """A finding by the rule ``word``; the texts may be a stranger's, they are escaped and cut here.

    Args:
        why: what loading this one would do, where the rule's own sentence is less exact.
        verdict: where this one is worse, or less bad, than the rule says.
    """
    rule = RULES[word]
    return Finding(
        rule=word,
        verdict=rule.verdict if verdict is None else verdict,
        file=_cut(file, _PLACE),
        place=_cut(place, _PLACE),
        construct=_cut(construct, _CONSTRUCT),
        why=rule.why if why is None else printable(why),
        object=_cut(object, _OBJECT),
    )


def _cut(text: str, length: int) -> str:
    shown = printable(text[: length + 1])
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


_TABLE = (
    # Configurations
    Rule(
        "foreign-object",
        _REFUSE,
        "a class or function of Python or of a library that no model is made of",
        "Keras before 3.9 and tf_keras import the module and call what is named",
        ("CVE-2025-1550", "CVE-2024-3660"),
    ),
    Rule(
        "non-modelling",
        _REFUSE,
        "a function or class of Keras that no model is made of",
        "Keras would call a function that downloads, reads, writes or loads",
        ("CVE-2025-8747", "CVE-2025-9906"),
    ),
    Rule(
        "unknown-keras-object",
        _REVIEW,
        "a class or function of Keras that no version known here has",
        "it may be a newer Keras's; an older one imports the module and takes what is there",
    ),
    Rule(
        "library-function",
        _REVIEW,
        "a function of TensorFlow, JAX, PyTorch or NumPy in the place of one of Keras's",
        "older Keras imports and calls it; what it does is not for this inspection to say",
    ),
    Rule(
        "custom-object",
        _REVIEW,
        "a class or function that neither Keras nor a library of its makers has",
        "code of that name runs, if the program has registered it, or an old Keras can import it",
    ),
    Rule(
        "lambda-code",
        _REVIEW,
        "the bytecode of a Python function (a Lambda layer)",
        "it is arbitrary code execution: the code in the model runs as the program does",
        ("CVE-2024-3660", "CVE-2025-9905"),
        by_safe_mode=True,
    ),
    Rule(
        "torch-module",
        _REVIEW,
        "a pickled PyTorch module (TorchModuleWrapper)",
        "a pickle is loaded, which runs whatever code it names",
        ("CVE-2025-49655",),
        by_safe_mode=True,
    ),
    Rule(
        "jax-function",
        _REVIEW,
        "a function or module of JAX or Flax (JaxLayer, FlaxLayer)",
        "functions that the configuration names are called when the layer is built",
        by_safe_mode=True,
    ),
    Rule(
        "saved-model-path",
        _REVIEW,
        "the path of a SavedModel (TFSMLayer)",
        "another model, at a path of the file's choice, is loaded and run",
        ("CVE-2026-1462",),
        by_safe_mode=True,
    ),
    Rule(
        "reads-file",
        _REVIEW,
        "the path of another file (a vocabulary, a tokenizer)",
        "a file of the model's choice is read into the model, and leaves with it",
        ("CVE-2025-12058",),
        by_safe_mode=True,
    ),
    Rule(
        "reads-secret",
        _REFUSE,
        "the path or URL of a file that no model needs",
        "a file of the system, of another user or of another machine is read into the model",
        ("CVE-2025-12058", "CVE-2026-1462"),
    ),
    Rule(
        "tensorflow-op",
        _REFUSE,
        "an operation of TensorFlow, by name, that computes nothing",
        "the layer calls any function of TensorFlow by name: one that reads, writes or runs Python",
    ),
    Rule(
        "type-spec",
        _REFUSE,
        "a type specification that is none of TensorFlow's",
        "the class that it names is imported and made",
        ("CVE-2025-1550",),
    ),
    Rule(
        "path-name",
        _REFUSE,
        "a layer's name that is a path out of the model",
        "assets and weights are looked for, and written, at paths that are made of names",
        ("CVE-2026-12479",),
    ),
    Rule(
        "odd-dtype",
        _REFUSE,
        "a dtype that is no plain number, text or Boolean",
        "NumPy makes objects, or elements of any size, of it",
    ),
    Rule(
        "exhausting-shape",
        _REFUSE,
        "sizes of which no machine has the memory, or far more than the file holds weights for",
        "to build it takes all of the machine's memory",
        ("CVE-2026-0897",),
    ),
    Rule(
        "exhausting-number",
        _REFUSE,
        "a number of thousands of digits",
        "reading it takes time that grows with the square of its length",
        ("CVE-2020-10735",),
    ),
    Rule(
        "nested-too-deep",
        _REFUSE,
        "a configuration nested deeper than any model",
        "reading it exhausts the stack",
    ),
    Rule(
        "duplicate-key",
        _REFUSE,
        "an object that has one key twice",
        "readers differ in which one counts, so that an inspection may see another model",
    ),
    Rule(
        "malformed-config",
        _REFUSE,
        "a configuration in a form that Keras does not write",
        "what cannot be read cannot be judged, and versions of Keras read it differently",
    ),
    Rule(
        "too-large",
        _REFUSE,
        "a configuration, or a list of findings, longer than is read here",
        "what is not read cannot be judged",
    ),
    Rule(
        "opaque-hdf5",
        _REFUSE,
        "an HDF5 file whose configuration is kept in a way that Keras does not write",
        "what cannot be read cannot be judged, and libhdf5 may read another configuration",
        ("CVE-2025-9905",),
    ),
    Rule(
        "two-formats",
        _REFUSE,
        "a file that is an HDF5 file and a ZIP archive at once",
        "its loader, which goes by the name, opens another model than the one that was inspected",
    ),
    Rule(
        "check-failed",
        _REFUSE,
        "a check of a plug-in that failed",
        "nobody knows what it would have said of the model",
    ),
    # Weights and archives
    Rule(
        "shape-bomb",
        _REFUSE,
        "arrays that declare far more than the file stores of them",
        "reading them takes all of the memory that they declare",
        ("CVE-2026-0897",),
    ),
    Rule(
        "hdf5-external",
        _REFUSE,
        "links and data of an HDF5 file that lead to other files",
        "other files of the machine are read into the model",
        ("CVE-2026-1669",),
    ),
    Rule(
        "array-type",
        _REVIEW,
        "values in an HDF5 file of which h5py makes Python objects",
        "they are no numbers and take any amount of memory; Keras has never stored any",
    ),
    Rule(
        "hdf5-filter",
        _REVIEW,
        "a filter of HDF5 that is a plug-in",
        "libhdf5 loads a library of the machine to read the data",
    ),
    Rule(
        "hdf5-unread",
        _REFUSE,
        "an HDF5 structure that Keras does not write and this inspection does not read",
        "what cannot be read cannot be judged",
    ),
    Rule(
        "malformed-array",
        _REFUSE,
        "an array in an .npz file that cannot be read",
        "what cannot be read cannot be judged",
    ),
    Rule(
        "pickle",
        _REVIEW,
        "a pickle, or an array of pickled objects",
        "whoever loads it runs whatever code it names; Keras does not",
    ),
    Rule(
        "program",
        _REVIEW,
        "a program, a script or a library among the files of the model",
        "whoever runs or imports it runs its code; Keras does not",
    ),
    Rule(
        "archive-path",
        _REFUSE,
        "an archive among the files of the model whose members leave it",
        "unpacking it writes files elsewhere",
        ("CVE-2025-12060", "CVE-2025-12638"),
    ),
    Rule(
        "archive-bomb",
        _REFUSE,
        "an archive that becomes hundreds of times larger when it is unpacked",
        "unpacking it fills the memory or the disk",
    ),
    # Graphs
    Rule(
        "file-op",
        _REVIEW,
        "an op that reads or writes files",
        "the graph reads or writes files when it runs",
    ),
    Rule(
        "python-op",
        _REVIEW,
        "an op that calls Python (tf.py_function, tf.numpy_function)",
        "the graph calls a function of the Python process by its number",
    ),
    Rule(
        "network-op",
        _REVIEW,
        "an op that talks to other processes or machines",
        "the graph sends data elsewhere, or takes it from there, when it runs",
    ),
    Rule(
        "stateful-op",
        _REVIEW,
        "an op with an effect that no model of Keras has",
        "nobody has judged what it does; TensorFlow says that it has an effect",
    ),
    Rule(
        "unknown-op",
        _REVIEW,
        "an op that TensorFlow does not have",
        "a library of its own has to be loaded for it, and what it does is not known here",
    ),
    Rule(
        "asset-path",
        _REFUSE,
        "an asset of a SavedModel that lies elsewhere",
        "another file of the machine is read in place of an asset",
    ),
    Rule(
        "graph-form",
        _REFUSE,
        "a graph, or something in one, in a form that Keras does not write",
        "TensorFlow runs it, and what cannot be read cannot be judged, or it ends the process",
        ("CVE-2022-23564", "CVE-2022-23591"),
    ),
    Rule(
        "malformed-graph",
        _REFUSE,
        "a graph that cannot be read",
        "what cannot be read cannot be judged",
    ),
    Rule(
        "malformed-checkpoint",
        _REFUSE,
        "an index of a checkpoint that contradicts itself or its data",
        "what cannot be read cannot be judged",
    ),
    Rule(
        "malformed-hdf5",
        _REFUSE,
        "an HDF5 file whose structure contradicts itself",
        "libhdf5 may hang or crash on it",
    ),
)

RULES: Mapping[str, Rule] = {rule.word: rule for rule in _TABLE}
