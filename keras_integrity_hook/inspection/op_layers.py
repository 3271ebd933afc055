# SPDX-License-Identifier: Apache-2.0
"""Layers of tf_keras that stand for an operation of TensorFlow, which they find by its public name.

``tf.io.write_file``, ``tf.py_function`` and ``keras.utils.get_file`` are public names, too. So the
modules whose functions compute are listed, and what in them does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.places import Place
from keras_integrity_hook.inspection.rules import found

CLASSES = frozenset({"TFOpLambda", "SlicingOpLambda", "ClassMethod", "TensorFlowOpLayer"})

_MODULES_NAMES = """
__operators__ audio bitwise dtypes image keras.activations keras.backend keras.losses
keras.metrics linalg math nn quantization ragged random sets signal sparse strings compat.v1.nn
compat.v1.math compat.v1.image compat.v1.linalg compat.v1.strings
"""
_MODULES = frozenset(_MODULES_NAMES.split())
_TOP_NAMES = """
abs acos acosh add add_n argmax argmin argsort asin asinh atan atan2 atanh batch_to_space bitcast
boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to case cast
clip_by_global_norm clip_by_norm clip_by_value complex concat cond constant convert_to_tensor cos
cosh cumsum dynamic_partition dynamic_stitch edit_distance eig eigvals einsum ensure_shape equal
exp expand_dims extract_volume_patches eye fill floor foldl foldr gather gather_nd greater
greater_equal guarantee_const histogram_fixed_width histogram_fixed_width_bins identity identity_n
is_tensor less less_equal linspace logical_and logical_not logical_or map_fn matmul
matrix_square_root maximum meshgrid minimum multiply negative no_op
norm not_equal one_hot ones ones_like pad
parallel_stack pow range rank realdiv reduce_all reduce_any reduce_logsumexp reduce_max
reduce_mean reduce_min reduce_prod reduce_sum repeat required_space_to_batch_paddings reshape
reverse reverse_sequence roll round saturate_cast scalar_mul scan scatter_nd searchsorted
sequence_mask shape shape_n sigmoid sign sin sinh size slice sort space_to_batch space_to_batch_nd
split sqrt square squeeze stack stop_gradient strided_slice subtract switch_case tan tanh
tensor_scatter_nd_add tensor_scatter_nd_max tensor_scatter_nd_min tensor_scatter_nd_sub
tensor_scatter_nd_update tensordot tile transpose truediv truncatediv truncatemod unique
unique_with_counts unravel_index unstack vectorized_map where zeros zeros_like
"""
_TOP = frozenset(_TOP_NAMES.split())
_NOT_COMPUTING_NAMES = """
decode_and_crop_jpeg get_seed set_seed set_global_generator get_global_generator create_rng_state
from_key_counter experimental
"""
_NOT_COMPUTING = frozenset(_NOT_COMPUTING_NAMES.split())
_OP = re.compile(r"[\"']?\bop[\"']?\s*:\s*[\"'](\w+)[\"']")


def findings(name: str, config: dict[str, Any], place: Place, file: str) -> Iterator[Finding]:
    """What of the layer's configuration names something that does more than compute."""
    if name == "TensorFlowOpLayer":
        yield from _of_node(config.get("node_def"), place, file)
        return
    symbol = config.get("cls_symbol" if name == "ClassMethod" else "function")
    if symbol is None and name != "ClassMethod":
        return  # Keras says itself that it is missing
    is_class = name == "ClassMethod" and symbol in _CLASSES
    if not isinstance(symbol, str) or not (is_class or computes(symbol)):
        yield found("tensorflow-op", file, str(place), f"{name}: {symbol}")


_CLASSES = frozenset({"RaggedTensor", "SparseTensor", "sparse.SparseTensor", "TensorShape"})


def computes(symbol: str) -> bool:
    """Whether what TensorFlow exports as ``symbol`` computes and does nothing else."""
    module, _, name = symbol.removeprefix("tf.").rpartition(".")
    if not module or module == "compat.v1":
        return name in _TOP
    return module in _MODULES and name not in _NOT_COMPUTING


def _of_node(node: Any, place: Place, file: str) -> Iterator[Finding]:
    """A node of a graph, as an object or as text: its operation by the list of SavedModels."""
    from keras_integrity_hook.inspection import op_rules

    if isinstance(node, dict):
        op = node.get("op")
    else:
        named = _OP.search(node) if isinstance(node, str) else None
        op = named[1] if named else None
    if not isinstance(op, str) or op in op_rules.SAVERS or op_rules.rule_of(op) is not None:
        yield found("tensorflow-op", file, str(place), f"TensorFlowOpLayer: {op}")
