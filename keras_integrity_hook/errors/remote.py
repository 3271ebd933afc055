# SPDX-License-Identifier: Apache-2.0
"""Errors of file systems other than the local one."""

from __future__ import annotations

from keras_integrity_hook.errors.base import IntegrityError


class RemoteError(IntegrityError):
    """What lies behind a URL cannot be read, or cannot be written. Root of the errors of its kind.

    That nothing is there at all is a ``FileNotFoundError``, as it is of a local path.
    """

    code = "remote"
    default_remedy = "Check the URL, the credentials and the network, and try again."


class UnknownSchemeError(RemoteError):
    """Nothing that is installed knows this scheme."""

    code = "remote-scheme"
    default_remedy = (
        "Install the package that brings the scheme, or copy the model to a local path."
    )


class RemoteUnavailableError(RemoteError):
    """The store does not answer, denies access, or broke off in the middle."""

    code = "remote-unavailable"


class RemoteChangedError(RemoteError):
    """What lies there was replaced while it was fetched; nothing of it was used."""

    code = "remote-changed"
    default_remedy = "Load it again once whoever writes there has finished."


class RemoteWriteError(RemoteError):
    """The model could not be put there; what was there before is there still."""

    code = "remote-write"
    default_remedy = (
        "Check that the store can be written to with these credentials, or save to a local path "
        "and copy the file."
    )
