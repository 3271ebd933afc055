# SPDX-License-Identifier: Apache-2.0
"""Could a save sign, if there were one now?"""

from __future__ import annotations

from keras_integrity_hook.errors import SigningError
from keras_integrity_hook.signing import kms, signers


def try_out(reference: str) -> None:
    """Find out whether a save could sign with the key that ``reference`` names, with nobody there
    to be asked. A device or a service is not disturbed: what is asked is what it needs here.

    Raises:
        SigningError: it could not.
    """
    scheme = signers.scheme_of(reference)
    if scheme in ("file", "env"):
        signers.find(reference)
    elif scheme in kms.EXTRAS:
        kms.refuse_without_library(reference)
    else:
        _find_plugin(reference)


def _find_plugin(reference: str) -> None:
    try:
        signers.maker(reference)
    except SigningError:
        raise
    except Exception as error:
        cause = f"the plug-in for this signer cannot be imported ({type(error).__name__}: {error})"
        raise SigningError(cause, path=reference) from None
