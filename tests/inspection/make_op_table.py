# SPDX-License-Identifier: Apache-2.0
"""Make ``inspection/tensorflow_ops.py`` from the registry of the TensorFlow that is installed.

    python -m tests.inspection.make_op_table > keras_integrity_hook/inspection/tensorflow_ops.py

An op that its registration calls stateless computes its outputs from its inputs, and is taken for
fine, except those that ``inspection/op_rules.py`` names: some of them read files all the same.
Stateful ops are only listed: which of them a model may have is written there by hand.
"""

from __future__ import annotations

import textwrap
from typing import Any

_HEAD = '''\
# SPDX-License-Identifier: Apache-2.0
"""The ops of TensorFlow {version}, made by ``tests/inspection/make_op_table.py``: do not edit."""

from __future__ import annotations

_STATELESS = """
{stateless}
"""
STATELESS = frozenset(_STATELESS.split())
"""Ops that their registration calls stateless; without those that only TensorFlow itself adds."""

_STATEFUL = """
{stateful}
"""
STATEFUL = frozenset(_STATEFUL.split())
"""Ops that have a state or an effect, by their registration."""

_CALLS = """
{calls}
"""
CALLS = frozenset(_CALLS.split())
"""Ops that have functions of the graph among their attributes."""
'''


def _registered() -> Any:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    ops = op_def_pb2.OpList()
    ops.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return [op for op in ops.op if not op.name.startswith("_")]


def _lines(names: list[str]) -> str:
    indent = " " * 4
    wrapped = textwrap.wrap(
        " ".join(sorted(names)),
        100,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped)


def main() -> None:
    """Print the module."""
    import tensorflow

    ops = _registered()
    takes_function = [
        op.name for op in ops if any(one.type in ("func", "list(func)") for one in op.attr)
    ]
    print(
        _HEAD.format(
            version=tensorflow.__version__,
            stateless=_lines([op.name for op in ops if not op.is_stateful]),
            stateful=_lines([op.name for op in ops if op.is_stateful]),
            calls=_lines(takes_function),
        ),
        end="",
    )


if __name__ == "__main__":
    main()
