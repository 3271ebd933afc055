# SPDX-License-Identifier: Apache-2.0
"""Every error the package raises: one root, typed evidence, and a remedy for a person.

``IntegrityError`` derives from ``Exception`` alone, on purpose. Keras and its callbacks catch
``OSError`` (``BackupAndRestore`` falls back to an older checkpoint, ``ModelCheckpoint`` reads
``args[0]`` as text) and ``ValueError`` (the optimizer state is dropped with a log line). A refusal
that they could catch would be a refusal that nobody sees.
"""

from __future__ import annotations

# The classes are at home here, so here their annotations are looked up.
from collections.abc import Mapping as Mapping
from typing import Any as Any

from keras_integrity_hook.errors.base import AuditError as AuditError
from keras_integrity_hook.errors.base import ConfigurationError as ConfigurationError
from keras_integrity_hook.errors.base import IntegrityError as IntegrityError
from keras_integrity_hook.errors.base import LimitExceededError as LimitExceededError
from keras_integrity_hook.errors.base import NotActiveError as NotActiveError
from keras_integrity_hook.errors.base import SiteError as SiteError
from keras_integrity_hook.errors.base import UnreadableFileError as UnreadableFileError
from keras_integrity_hook.errors.base import UnsupportedKerasError as UnsupportedKerasError
from keras_integrity_hook.errors.base import UnsupportedPlatformError as UnsupportedPlatformError
from keras_integrity_hook.errors.base import _rebuild as _rebuild
from keras_integrity_hook.errors.content import DangerousModelError as DangerousModelError
from keras_integrity_hook.errors.content import InputContractError as InputContractError
from keras_integrity_hook.errors.content import NotVettedError as NotVettedError
from keras_integrity_hook.errors.content import SandboxedModelError as SandboxedModelError
from keras_integrity_hook.errors.content import SandboxLimitError as SandboxLimitError
from keras_integrity_hook.errors.content import SandboxUnavailableError as SandboxUnavailableError
from keras_integrity_hook.errors.content import SandboxViolationError as SandboxViolationError
from keras_integrity_hook.errors.distribution import TrustUpdateError as TrustUpdateError
from keras_integrity_hook.errors.fleet import ExaminationTimeoutError as ExaminationTimeoutError
from keras_integrity_hook.errors.fleet import FleetResultsError as FleetResultsError
from keras_integrity_hook.errors.fleet import FleetWorkersError as FleetWorkersError
from keras_integrity_hook.errors.fleet import WorkerLostError as WorkerLostError
from keras_integrity_hook.errors.integrity import AlreadySealedError as AlreadySealedError
from keras_integrity_hook.errors.integrity import ChecksumMismatchError as ChecksumMismatchError
from keras_integrity_hook.errors.integrity import DamagedFileError as DamagedFileError
from keras_integrity_hook.errors.integrity import DamagedRange as DamagedRange
from keras_integrity_hook.errors.integrity import ExternalReferenceError as ExternalReferenceError
from keras_integrity_hook.errors.integrity import MalformedSealError as MalformedSealError
from keras_integrity_hook.errors.integrity import NotAModelError as NotAModelError
from keras_integrity_hook.errors.integrity import SealWriteError as SealWriteError
from keras_integrity_hook.errors.integrity import UnsealedModelError as UnsealedModelError
from keras_integrity_hook.errors.memory import EventRefusedError as EventRefusedError
from keras_integrity_hook.errors.memory import MalformedEventError as MalformedEventError
from keras_integrity_hook.errors.memory import RecalledModelError as RecalledModelError
from keras_integrity_hook.errors.memory import RegistryError as RegistryError
from keras_integrity_hook.errors.memory import RegistryForkError as RegistryForkError
from keras_integrity_hook.errors.memory import RegistryUnavailableError as RegistryUnavailableError
from keras_integrity_hook.errors.memory import SignerChangedError as SignerChangedError
from keras_integrity_hook.errors.memory import StrippedModelError as StrippedModelError
from keras_integrity_hook.errors.memory import UnregisteredModelError as UnregisteredModelError
from keras_integrity_hook.errors.memory import WrongClockError as WrongClockError
from keras_integrity_hook.errors.policy import ExpiredModelError as ExpiredModelError
from keras_integrity_hook.errors.policy import InsecureDownloadError as InsecureDownloadError
from keras_integrity_hook.errors.policy import InsecurePermissionsError as InsecurePermissionsError
from keras_integrity_hook.errors.policy import MalformedBundleError as MalformedBundleError
from keras_integrity_hook.errors.policy import NotSignedError as NotSignedError
from keras_integrity_hook.errors.policy import OverrideRefusedError as OverrideRefusedError
from keras_integrity_hook.errors.policy import RevokedModelError as RevokedModelError
from keras_integrity_hook.errors.policy import RollbackError as RollbackError
from keras_integrity_hook.errors.policy import SigningError as SigningError
from keras_integrity_hook.errors.policy import WeakAlgorithmError as WeakAlgorithmError
from keras_integrity_hook.errors.policy import WrongModelError as WrongModelError
from keras_integrity_hook.errors.remote import RemoteChangedError as RemoteChangedError
from keras_integrity_hook.errors.remote import RemoteError as RemoteError
from keras_integrity_hook.errors.remote import RemoteUnavailableError as RemoteUnavailableError
from keras_integrity_hook.errors.remote import RemoteWriteError as RemoteWriteError
from keras_integrity_hook.errors.remote import UnknownSchemeError as UnknownSchemeError
from keras_integrity_hook.errors.warnings import FallbackWarning as FallbackWarning
from keras_integrity_hook.errors.warnings import HistoryWarning as HistoryWarning
from keras_integrity_hook.errors.warnings import IntegrityWarning as IntegrityWarning
from keras_integrity_hook.errors.warnings import OverrideWarning as OverrideWarning
from keras_integrity_hook.errors.warnings import UnsealedModelWarning as UnsealedModelWarning
from keras_integrity_hook.errors.warnings import (
    UnverifiedDownloadWarning as UnverifiedDownloadWarning,
)
from keras_integrity_hook.texts import printable as printable
