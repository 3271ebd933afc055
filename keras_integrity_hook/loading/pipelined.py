# SPDX-License-Identifier: Apache-2.0
"""May this load verify what it reads while it reads it (``verify = "pipelined"``)?

Only where a refusal that comes late is as good as one that comes early: a call of Keras that asks
for the verdict before it returns. Where a person or a policy may let through what does not match,
everything is verified first, so that they know what they let through.
"""

from __future__ import annotations

from keras_integrity_hook import settings
from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.loading import in_progress, override
from keras_integrity_hook.policy import admission
from keras_integrity_hook.settings import Mode, Verify


def is_asked_for(model: ModelFile, *named: str) -> bool:
    """Whether everything that is in force for ``model`` asks for it, and it can be had.

    Args:
        named: more paths that it is loaded by.
    """
    # Whoever is handed a set asks for the verdict by itself (verified_set).
    if model.files is None and not in_progress.current().is_watched:
        return False
    if override.is_in_force() or settings.mode() is not Mode.ENFORCE:
        return False
    demands = admission.demands_on(model, *named)
    return all(one.verify is Verify.PIPELINED for one in demands)
