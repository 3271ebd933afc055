# SPDX-License-Identifier: Apache-2.0
"""Has somebody who is trusted tried this model, and did it pass?"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.policy import checks, evidence
from keras_integrity_hook.settings import Settings

if TYPE_CHECKING:
    from keras_integrity_hook.detached.vetted import Vetted
else:  # for those who look annotations up at run time
    Vetted = object


def required(model: ModelFile, demands: Settings) -> Vetted:
    """``model``, which a policy wants to be vetted; where it has no seal, under one that pins what
    the vetter saw.

    Raises:
        NotVettedError: no trusted vetter says that this content passed.
        RevokedModelError, WeakAlgorithmError: what is pinned was recalled, or is by a digest that
            the policy does not allow.
        And whatever the registry refuses, see :class:`checks.Registered`.
        MalformedBundleError, UnreadableFileError, LimitExceededError, ConfigurationError,
        InsecurePermissionsError: see :func:`vetted.required`.
    """
    from keras_integrity_hook.detached import vetted

    found = vetted.required(
        model, at=datetime.now(UTC), machine_only=evidence.only_machine_counts(demands)
    )
    if model.seal is None:
        seen = evidence.evidence(found.model, demands)
        by_algorithm = checks.AlgorithmAmong(demands.allowed_algorithms)
        checks.AllOf((checks.NotRevoked(), by_algorithm)).verify(seen)
        checks.AllOf(checks.of_registry(demands)).verify(seen)
    return found
