# SPDX-License-Identifier: Apache-2.0
"""Data sets of TensorFlow, whose batches pass through a graph.

To call Python for a batch costs a third of a millisecond, which is more than many a model takes. So
the graph itself asks whether a batch can be wrong, and only such a batch is handed to Python, which
says what is wrong with it, or that nothing is.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_integrity_hook.contracts import graph_checks, matching
from keras_integrity_hook.contracts.contract import InputContract
from keras_integrity_hook.errors import InputContractError
from keras_integrity_hook.hooks.inputs.watch import Watch, inputs_of


def view(source: Any, watch: Watch) -> Any:
    """A data set with the elements of ``source``, each of which ``watch`` has passed."""

    def passed(number: Any, batch: Any) -> Any:
        with tf.control_dependencies([_looked_at(inputs_of(batch), number, watch)]):
            return tf.nest.map_structure(tf.identity, batch)

    # Autograph would rewrite this module and those below, which takes longer than all the rest.
    return source.enumerate().map(tf.autograph.experimental.do_not_convert(passed))


def _looked_at(inputs: Any, number: Any, watch: Watch) -> Any:
    """The operation that looks at a batch, where it may be wrong."""

    def look(number: Any, *leaves: Any) -> int:
        watch.check_batch(tf.nest.pack_sequence_as(inputs, leaves), int(number))
        return 0

    leaves = [number, *tf.nest.flatten(inputs)]
    return tf.cond(
        _may_be_wrong(watch.contract, inputs),
        lambda: tf.py_function(look, leaves, tf.int32),
        lambda: tf.constant(0),
    )


def _may_be_wrong(contract: InputContract, inputs: Any) -> Any:
    try:
        pairs = matching.matched(contract, inputs)
    except InputContractError:  # of the structure: Python says it when the batch is there
        return tf.constant(True)
    asked = [graph_checks.may_be_wrong(rules, value) for rules, value in pairs]
    return tf.reduce_any(tf.stack(asked))
