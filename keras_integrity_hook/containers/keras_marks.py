# SPDX-License-Identifier: Apache-2.0
"""Whether a single file is recognisably a Keras model, by what Keras's own loaders look for in it.

HDF5 and ZIP are everybody's formats. What is found here decides which files of a directory a
command may write to, and nothing about what is checked in a load.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from keras_integrity_hook.containers import hdf5, hdf5_map, keras_zip
from keras_integrity_hook.containers.hdf5_map import Node
from keras_integrity_hook.containers.layout import Layout
from keras_integrity_hook.errors import LimitExceededError

_LAYER_NAMES = {b"layer_names", b"layer_names0"}  # with a number where the list was too long
_WEIGHT_NAMES = {b"weight_names", b"weight_names0"}
_WRITER = {b"keras_version", b"backend"}
_WEIGHTS = ("model.weights.h5", "model.weights.json", "model.weights.npz")


def why_not_keras(layout: Layout) -> str:
    """Why the file of this ``layout`` is not recognisably a Keras model, a sentence; empty if so.

    A file with a seal is one: somebody vouched for it.
    """
    if layout.block is not None:
        return ""
    return _REASONS[layout.container](layout)


def _why_not_in_archive(layout: Layout) -> str:
    names = {member.name for member in layout.members}
    if "config.json" in names and ("metadata.json" in names or names.intersection(_WEIGHTS)):
        return ""
    return "A ZIP archive without the config.json and the weights of a Keras model."


def _why_not_in_hdf5(layout: Layout) -> str:
    search = _Search()
    content = layout.content
    try:
        for node in hdf5_map.nodes(content, 0, content.size, hdf5_map.Budget()):
            search.look_at(node)
            if search.is_decided:
                break
    except LimitExceededError:
        return "An HDF5 file with a larger structure than any that Keras writes."
    except (struct.error, ValueError):
        return "An HDF5 file whose structure cannot be read."
    return search.verdict()


class _Search:
    """What the walk through one HDF5 file has met so far.

    Files of Keras 3 and of tf_keras's ``.weights.h5`` keep all values in groups called ``vars``.
    The older form, which whole models are still written in, lists its layers in an attribute and
    the weights of each layer in another.
    """

    def __init__(self) -> None:
        self._has_root = self._lists_layers = self._has_values = False
        self._is_keras = False
        self._alien = ""

    @property
    def is_decided(self) -> bool:
        return self._is_keras or (bool(self._alien) and not self._lists_layers)

    def look_at(self, node: Node) -> None:
        attributes = set(node.attributes)
        if node.path in ("", "model_weights"):
            self._has_root = True
            self._lists_layers |= bool(attributes & _LAYER_NAMES)
            is_whole = b"model_config" in attributes
            if attributes & _WRITER and (is_whole or attributes & _LAYER_NAMES):
                self._is_keras = True
        if self._lists_layers and attributes & _WEIGHT_NAMES:
            self._is_keras = True
        *above, name = node.path.split("/")
        if node.is_group:
            self._has_values |= name == "vars"
        elif "vars" not in above:
            self._alien = self._alien or node.path

    def verdict(self) -> str:
        if self._is_keras or (self._has_values and not self._alien):
            return ""
        if not self._has_root:
            return "An HDF5 file of a version of the format that Keras does not write."
        if self._alien:
            return f"An HDF5 file of another program: '{self._alien}' is no variable of a model."
        return "An HDF5 file without any variable of a Keras model."


_REASONS: dict[str, Callable[[Layout], str]] = {
    keras_zip.CONTAINER: _why_not_in_archive,
    hdf5.CONTAINER: _why_not_in_hdf5,
}
