# SPDX-License-Identifier: Apache-2.0
"""Seal every model Keras saves, check every model Keras loads.

Nothing is imported until it is used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keras_integrity_hook._version import __version__ as __version__
    from keras_integrity_hook.activation.state import Status as Status
    from keras_integrity_hook.activation.state import activate as activate
    from keras_integrity_hook.activation.state import assert_active as assert_active
    from keras_integrity_hook.activation.state import deactivate as deactivate
    from keras_integrity_hook.activation.state import status as status
    from keras_integrity_hook.api import diff as diff
    from keras_integrity_hook.api import inspect as inspect
    from keras_integrity_hook.api import reseal as reseal
    from keras_integrity_hook.api import scan as scan
    from keras_integrity_hook.api import seal as seal
    from keras_integrity_hook.api import set_contract as set_contract
    from keras_integrity_hook.api import sign as sign
    from keras_integrity_hook.api import unseal as unseal
    from keras_integrity_hook.api import verify as verify
    from keras_integrity_hook.contracts.contract import InputContract as InputContract
    from keras_integrity_hook.contracts.input_rules import InputRules as InputRules
    from keras_integrity_hook.contracts.stated import contract as contract
    from keras_integrity_hook.errors import AlreadySealedError as AlreadySealedError
    from keras_integrity_hook.errors import AuditError as AuditError
    from keras_integrity_hook.errors import ChecksumMismatchError as ChecksumMismatchError
    from keras_integrity_hook.errors import ConfigurationError as ConfigurationError
    from keras_integrity_hook.errors import DamagedFileError as DamagedFileError
    from keras_integrity_hook.errors import DamagedRange as DamagedRange
    from keras_integrity_hook.errors import DangerousModelError as DangerousModelError
    from keras_integrity_hook.errors import EventRefusedError as EventRefusedError
    from keras_integrity_hook.errors import ExaminationTimeoutError as ExaminationTimeoutError
    from keras_integrity_hook.errors import ExpiredModelError as ExpiredModelError
    from keras_integrity_hook.errors import ExternalReferenceError as ExternalReferenceError
    from keras_integrity_hook.errors import FallbackWarning as FallbackWarning
    from keras_integrity_hook.errors import FleetResultsError as FleetResultsError
    from keras_integrity_hook.errors import FleetWorkersError as FleetWorkersError
    from keras_integrity_hook.errors import HistoryWarning as HistoryWarning
    from keras_integrity_hook.errors import InputContractError as InputContractError
    from keras_integrity_hook.errors import InsecureDownloadError as InsecureDownloadError
    from keras_integrity_hook.errors import InsecurePermissionsError as InsecurePermissionsError
    from keras_integrity_hook.errors import IntegrityError as IntegrityError
    from keras_integrity_hook.errors import IntegrityWarning as IntegrityWarning
    from keras_integrity_hook.errors import LimitExceededError as LimitExceededError
    from keras_integrity_hook.errors import MalformedBundleError as MalformedBundleError
    from keras_integrity_hook.errors import MalformedEventError as MalformedEventError
    from keras_integrity_hook.errors import MalformedSealError as MalformedSealError
    from keras_integrity_hook.errors import NotActiveError as NotActiveError
    from keras_integrity_hook.errors import NotAModelError as NotAModelError
    from keras_integrity_hook.errors import NotSignedError as NotSignedError
    from keras_integrity_hook.errors import NotVettedError as NotVettedError
    from keras_integrity_hook.errors import OverrideRefusedError as OverrideRefusedError
    from keras_integrity_hook.errors import OverrideWarning as OverrideWarning
    from keras_integrity_hook.errors import RecalledModelError as RecalledModelError
    from keras_integrity_hook.errors import RegistryError as RegistryError
    from keras_integrity_hook.errors import RegistryForkError as RegistryForkError
    from keras_integrity_hook.errors import RegistryUnavailableError as RegistryUnavailableError
    from keras_integrity_hook.errors import RemoteChangedError as RemoteChangedError
    from keras_integrity_hook.errors import RemoteError as RemoteError
    from keras_integrity_hook.errors import RemoteUnavailableError as RemoteUnavailableError
    from keras_integrity_hook.errors import RemoteWriteError as RemoteWriteError
    from keras_integrity_hook.errors import RevokedModelError as RevokedModelError
    from keras_integrity_hook.errors import RollbackError as RollbackError
    from keras_integrity_hook.errors import SandboxedModelError as SandboxedModelError
    from keras_integrity_hook.errors import SandboxLimitError as SandboxLimitError
    from keras_integrity_hook.errors import SandboxUnavailableError as SandboxUnavailableError
    from keras_integrity_hook.errors import SandboxViolationError as SandboxViolationError
    from keras_integrity_hook.errors import SealWriteError as SealWriteError
    from keras_integrity_hook.errors import SignerChangedError as SignerChangedError
    from keras_integrity_hook.errors import SigningError as SigningError
    from keras_integrity_hook.errors import SiteError as SiteError
    from keras_integrity_hook.errors import StrippedModelError as StrippedModelError
    from keras_integrity_hook.errors import TrustUpdateError as TrustUpdateError
    from keras_integrity_hook.errors import UnknownSchemeError as UnknownSchemeError
    from keras_integrity_hook.errors import UnreadableFileError as UnreadableFileError
    from keras_integrity_hook.errors import UnregisteredModelError as UnregisteredModelError
    from keras_integrity_hook.errors import UnsealedModelError as UnsealedModelError
    from keras_integrity_hook.errors import UnsealedModelWarning as UnsealedModelWarning
    from keras_integrity_hook.errors import UnsupportedKerasError as UnsupportedKerasError
    from keras_integrity_hook.errors import UnsupportedPlatformError as UnsupportedPlatformError
    from keras_integrity_hook.errors import UnverifiedDownloadWarning as UnverifiedDownloadWarning
    from keras_integrity_hook.errors import WeakAlgorithmError as WeakAlgorithmError
    from keras_integrity_hook.errors import WorkerLostError as WorkerLostError
    from keras_integrity_hook.errors import WrongClockError as WrongClockError
    from keras_integrity_hook.errors import WrongModelError as WrongModelError
    from keras_integrity_hook.inspection.checks import InspectedModel as InspectedModel
    from keras_integrity_hook.inspection.findings import Finding as Finding
    from keras_integrity_hook.inspection.findings import Verdict as Verdict
    from keras_integrity_hook.loading.override import override as override
    from keras_integrity_hook.report import InspectionInfo as InspectionInfo
    from keras_integrity_hook.report import Report as Report
    from keras_integrity_hook.report import SealInfo as SealInfo
    from keras_integrity_hook.saving.provenance import provenance as provenance

_HOMES = {
    "_version": ("__version__",),
    "activation.state": ("Status", "activate", "assert_active", "deactivate", "status"),
    "api": (
        "diff",
        "inspect",
        "reseal",
        "scan",
        "seal",
        "set_contract",
        "sign",
        "unseal",
        "verify",
    ),
    "inspection.checks": ("InspectedModel",),
    "inspection.findings": ("Finding", "Verdict"),
    "report": ("InspectionInfo", "Report", "SealInfo"),
    "contracts.contract": ("InputContract",),
    "contracts.input_rules": ("InputRules",),
    "contracts.stated": ("contract",),
    "errors": (
        "AlreadySealedError",
        "AuditError",
        "ChecksumMismatchError",
        "ConfigurationError",
        "DamagedFileError",
        "DamagedRange",
        "DangerousModelError",
        "EventRefusedError",
        "ExaminationTimeoutError",
        "ExpiredModelError",
        "ExternalReferenceError",
        "FallbackWarning",
        "FleetResultsError",
        "FleetWorkersError",
        "HistoryWarning",
        "InputContractError",
        "InsecureDownloadError",
        "InsecurePermissionsError",
        "IntegrityError",
        "IntegrityWarning",
        "LimitExceededError",
        "MalformedBundleError",
        "MalformedEventError",
        "MalformedSealError",
        "NotAModelError",
        "NotActiveError",
        "NotSignedError",
        "NotVettedError",
        "OverrideRefusedError",
        "OverrideWarning",
        "RecalledModelError",
        "RegistryError",
        "RegistryForkError",
        "RegistryUnavailableError",
        "RemoteChangedError",
        "RemoteError",
        "RemoteUnavailableError",
        "RemoteWriteError",
        "RevokedModelError",
        "RollbackError",
        "SandboxLimitError",
        "SandboxUnavailableError",
        "SandboxViolationError",
        "SandboxedModelError",
        "SealWriteError",
        "SignerChangedError",
        "SigningError",
        "SiteError",
        "StrippedModelError",
        "TrustUpdateError",
        "UnknownSchemeError",
        "UnreadableFileError",
        "UnregisteredModelError",
        "UnsealedModelError",
        "UnsealedModelWarning",
        "UnsupportedKerasError",
        "UnsupportedPlatformError",
        "UnverifiedDownloadWarning",
        "WeakAlgorithmError",
        "WorkerLostError",
        "WrongClockError",
        "WrongModelError",
    ),
    "loading.override": ("override",),
    "saving.provenance": ("provenance",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [name for name in _HOME_OF if not name.startswith("_")]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "activation":  # a start-up file has loaded a module of it, and not the package
        return import_module(f"{__name__}.{name}")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
