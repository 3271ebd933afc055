# SPDX-License-Identifier: Apache-2.0
"""The roots by which a model is recalled: computed from its content, never taken from its seal.

A seal says what it likes. Whoever recalls by what one says recalls another model, or none, while
the content that was meant goes on being loaded.
"""

from __future__ import annotations

from keras_integrity_hook import api
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import (
    ChecksumMismatchError,
    UnsealedModelError,
)
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.verification import digests, pinning

_REMEDY = (
    "Nothing was recalled. --content recalls what the file holds now, under whatever seal; --root "
    "recalls a root that you know from elsewhere."
)


def verified_root(path: str) -> str:
    """The root (hex) of the model at ``path``, whose content matches its seal.

    Raises:
        ChecksumMismatchError: it does not.
        UnsealedModelError: there is no seal, so that nobody knows under which root it is loaded.
        IntegrityError: as :func:`keras_integrity_hook.inspect`.
    """
    with api.opened(path) as model:
        if not isinstance(model, SealedModel):
            cause = "the model has no seal, so no root to revoke it by"
            raise UnsealedModelError(cause, path=model.path, remedy=_REMEDY)
        try:
            digests.check_content(model)
        except ChecksumMismatchError as error:
            error.default_remedy = _REMEDY
            raise
        return model.seal.statement.root


def roots_of_content(path: str) -> list[str]:
    """The roots (hex) that a seal over the model at ``path`` would have as it is now: one for each
    digest algorithm, since any seal may name any of them.

    Raises:
        IntegrityError: there is no content to be told from the rest.
    """
    place = recognition.recognise(path)
    roots = []
    for algorithm in tree.ALGORITHMS:
        if tree.is_available(algorithm):  # or no seal of it is accepted here either
            with pinning.open_as_it_is(path, place, algorithm) as model:
                roots.append(model.seal.statement.root)
    return roots
