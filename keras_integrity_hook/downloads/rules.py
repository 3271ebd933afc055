# SPDX-License-Identifier: Apache-2.0
"""May this model file be downloaded this way? Decided at each URL, before its server is asked."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit, urlunsplit

from keras_integrity_hook import audit, notices, settings
from keras_integrity_hook.containers import formats
from keras_integrity_hook.errors import (
    InsecureDownloadError,
    UnverifiedDownloadWarning,
    printable,
)

# What Keras loads a model or weights from, by name. Archives and plain .npz are data sets.
MODEL_SUFFIXES = (*formats.SUFFIXES, ".weights.json", ".weights.npz", "saved_model.pb")

_log = notices.logger()


class Download:
    """One download: what it will be called here, and the URLs it has led to so far.

    Args:
        target: the path or name the file gets, or "".
        has_hash: whether its content will be compared with a hash the caller knows.
        quiet: the caller is a library, whose user cannot add a hash: a missing one is logged at
            level INFO and not warned about.
    """

    def __init__(self, target: str, *, has_hash: bool, quiet: bool = False) -> None:
        self._is_model = is_model_name(target)
        self._has_hash = has_hash
        self._quiet = quiet
        self._urls: list[str] = []
        self._insecure: str | None = None
        self._settled = False
        self._recorded = False

    def follow(self, url: str, *, encrypted: bool) -> None:
        """Admit the next URL: the first one, then where each redirect leads.

        Args:
            url: a whole URL.
            encrypted: whether its scheme is; one hop that is not taints all after it, because
                whoever sits on it decides where they lead.

        Raises:
            InsecureDownloadError: it is a model file and some hop is not encrypted, or it has no
                hash and the policy asks for one.
            ConfigurationError: the mode is misspelt.
        """
        self._is_model = self._is_model or is_model_name(urlsplit(url).path)
        self._urls.append(shown(url))
        if not encrypted:
            self._insecure = self._insecure or self._urls[-1]
        if self._is_model and self._insecure and not self._settled:
            self._refuse(
                f"the way to this model file leads over {self._insecure}, which is not encrypted: "
                "anyone on it could replace the file"
            )
        if self._is_model and not self._has_hash and not self._settled:
            if settings.at().downloads is settings.Downloads.HASHED:
                self._refuse(
                    "a hash to compare this model file with is required, and none is given"
                )
            self._report_missing_hash()
        if self._is_model:
            self._record()

    def _refuse(self, cause: str) -> None:
        error = InsecureDownloadError(cause, path=self._urls[0], urls=tuple(self._urls))
        if settings.mode() is not settings.Mode.WARN:
            audit.record("download", self._urls[0], outcome="refused", error=error)
            raise error
        self._settled = self._recorded = True
        audit.record("download", self._urls[0], outcome="warned", error=error)
        notices.warn(error.facts())

    def _record(self) -> None:
        # Once: where it is redirected to later makes no difference, or ends in a refusal.
        if not self._recorded:
            self._recorded = True
            audit.record("download", self._urls[0], outcome="ok", has_hash=self._has_hash)

    def _report_missing_hash(self) -> None:
        origin = self._urls[0]
        message = f"{origin}: a model file is downloaded without a hash to compare it with"
        if not self._quiet:
            message += ". Give its SHA-256 as file_hash."
            notices.warn(message, UnverifiedDownloadWarning, once=origin)
        elif notices.first_time((UnverifiedDownloadWarning, origin)):
            _log.info(message)


def is_model_name(path: str) -> bool:
    """Whether a file of this name, or at this path of a URL, is a model or weights."""
    # Keras takes lower case only, but a copy is renamed easily.
    return unquote(path).lower().endswith(MODEL_SUFFIXES)


def shown(url: str) -> str:
    """``url`` for messages: without user, password, query and fragment, which may be secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return printable(urlunsplit((parts.scheme, host, parts.path, "", "")))
