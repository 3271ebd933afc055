# SPDX-License-Identifier: Apache-2.0
"""A model, opened for a sandbox: what policy and seal say of it counts there as anywhere.

What an inspection says does not: a sandbox is for models that nobody knows to be harmless.
"""

from __future__ import annotations

import contextlib

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.isolation import model_bytes
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.loading import contracted
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.saving import settled


@settings.snapshot()
def verified(path: str) -> ModelFiles:
    """The checked bytes of the model at ``path``; to be closed by the caller.

    Raises:
        IntegrityError: the policy does not admit it, or it does not match its seal; recorded.
    """
    try:
        return _verified(path)
    except IntegrityError as error:
        refusal.tell(error)
        raise


def _verified(path: str) -> ModelFiles:
    place = recognition.recognise(path)
    memory = admission.memory_of(path, place)
    with contextlib.ExitStack() as undo:
        model = settled.open_settled(path) if place is None else open_set(path, place, hold=True)
        undo.callback(model.close)
        found = admission.admit(model, memory=memory)
        admission.warn_if_unsealed(model, found)
        admitted = found.model
        files = model_bytes.copied(admitted)
        if isinstance(admitted, SealedModel):
            contracted.note(admitted)
            facts = audit.seal_facts(admitted.seal.statement)
            audit.record("load", path, outcome="ok", **facts)
            if memory is not None:
                memory.keep(model)
        else:
            audit.record("load", path, outcome="unsealed")
        return files
