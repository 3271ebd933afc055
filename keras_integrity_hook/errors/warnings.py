# SPDX-License-Identifier: Apache-2.0
"""What is let through, and should be known."""

from __future__ import annotations

from typing import Any

from keras_integrity_hook.errors.base import HOME, at_home


class IntegrityWarning(UserWarning):
    """Root of the package's warnings."""

    __module__ = HOME

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        at_home(cls)


class UnsealedModelWarning(IntegrityWarning):
    """A model without a seal was loaded; shown once per path."""


class HistoryWarning(IntegrityWarning):
    """A model contradicts what this machine remembers of its path; shown once per path."""


class OverrideWarning(IntegrityWarning):
    """A model was loaded that would have been refused, because somebody said so by its digest."""


class FallbackWarning(IntegrityWarning):
    """A model was refused, and the one that the policy names was loaded in its place."""


class UnverifiedDownloadWarning(IntegrityWarning):
    """A model file is downloaded without a hash to compare it with; shown once per URL."""
