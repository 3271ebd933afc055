# SPDX-License-Identifier: Apache-2.0
"""What the start-up files run in every interpreter: arm the finder and nothing else.

No setting is read here. An exception in a start-up file is printed and forgotten, so a decision
made here would fail open; the decisions are made when Keras is imported.
"""


def init() -> None:
    """Arm the import finder; idempotent, because a venv runs its start-up files twice."""
    from keras_integrity_hook.activation.finder import arm

    arm()
