# SPDX-License-Identifier: Apache-2.0
"""Sign a statement with the key that a reference names.

A reference is the path of a private key, ``env:NAME`` (a key in an environment variable), or a
URI of a key that never leaves its hardware or cloud: ``hsm:…``, ``awskms:…``, ``azurekms:…``,
``gcpkms:…``, ``hv:…`` (HashiCorp Vault). Other schemes are plug-ins: an entry point of the group
``keras_integrity_hook.signers``, named after the scheme, gives a function that takes the whole
reference and an :data:`~keras_integrity_hook.signing.secret.Ask`, and returns a
:class:`SigningKey`.
"""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

from keras_integrity_hook.errors import IntegrityError, SigningError, printable
from keras_integrity_hook.sealing import envelope
from keras_integrity_hook.sealing.envelope import Envelope, Signature
from keras_integrity_hook.signing import keys
from keras_integrity_hook.signing.keys import PublicKey
from keras_integrity_hook.signing.secret import Ask, Secrets

GROUP = "keras_integrity_hook.signers"
_HOME = "keras_integrity_hook.signing"
# Known without reading the metadata of everything installed (50 ms), and no plug-in takes their
# place. setup.cfg registers the same, for whoever lists the group.
BUILT_IN = {
    "file": f"{_HOME}.signers:from_file",
    "env": f"{_HOME}.signers:from_environment",
    **dict.fromkeys(("hsm", "awskms", "azurekms", "gcpkms", "hv"), f"{_HOME}.kms:from_uri"),
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")
_FOREIGN_TEXT = 300


class SigningKey(NamedTuple):
    """A key that can sign: its public half, and a function from data to the raw signature."""

    public: PublicKey
    sign: Callable[[bytes], bytes]


def sign(
    payload: bytes,
    reference: str,
    *,
    ask: Ask | None = None,
    payload_type: str = envelope.PAYLOAD_TYPE,
) -> Signature:
    """The signature over the DSSE encoding of ``payload`` by the key that ``reference`` names.

    Args:
        payload: an encoded statement, or whatever else ``payload_type`` says.
        ask: asks a person for a passphrase or PIN that the environment does not give.

    Raises:
        SigningError: there is no such key, it may not be used, or it did not sign.
    """
    secrets = Secrets(ask)
    return sign_with(find(reference, secrets), payload, reference, secrets, payload_type)


def sign_with(
    key: SigningKey,
    payload: bytes,
    reference: str,
    secrets: Secrets,
    payload_type: str = envelope.PAYLOAD_TYPE,
) -> Signature:
    """As :func:`sign`, with a key that was found already."""
    raw = raw_signature(key, envelope.pae(payload, payload_type), reference, secrets)
    return Signature(key.public.keyid, base64.b64encode(raw).decode("ascii"))


def raw_signature(key: SigningKey, data: bytes, reference: str, secrets: Secrets) -> bytes:
    """The bare signature over ``data``, for a format that is not ours; raises as :func:`sign`."""
    with _as_signing_errors(reference, secrets):
        raw = key.sign(data)
    # Catches a public key of another private key, and a computation gone wrong, before it is kept.
    if not keys.is_valid(key.public, raw, data):
        raise SigningError("the signature does not fit the signer's public key", path=reference)
    return raw


def find(reference: str, ask: Ask | None = None) -> SigningKey:
    """The key that ``reference`` names; raises SigningError as :func:`sign`."""
    if "PRIVATE KEY" in reference:
        raise SigningError(
            "the setting holds a private key where a path, env:NAME or a URI is expected"
        )
    secrets = ask if isinstance(ask, Secrets) else Secrets(ask)
    with _as_signing_errors(reference, secrets):
        found = maker(reference)(reference, secrets)
        if not isinstance(found, SigningKey):
            raise SigningError("the plug-in for this signer returned no SigningKey")
        return found


def has_signed(key: SigningKey, signed: Envelope) -> bool:
    """Whether a good signature by ``key`` is there already."""
    data = envelope.pae(signed.payload)
    return any(
        one.keyid == key.public.keyid and keys.is_valid(key.public, base64.b64decode(one.sig), data)
        for one in signed.signatures
    )


def from_file(reference: str, ask: Ask) -> SigningKey:
    """The key in the file at ``reference``, a path or ``file:PATH``; raises SigningError."""
    from keras_integrity_hook.signing import private

    return SigningKey(*private.read_file(reference.removeprefix("file:"), ask))


def from_environment(reference: str, ask: Ask) -> SigningKey:
    """The key in the variable that ``env:NAME`` names; raises SigningError."""
    from keras_integrity_hook.signing import private

    return SigningKey(*private.read_environment(reference.removeprefix("env:"), ask))


def scheme_of(reference: str) -> str:
    """``"file"`` for a path, else the scheme of the URI."""
    found = _SCHEME.match(reference)
    return found.group(1) if found else "file"


def maker(reference: str) -> Callable[[str, Ask], Any]:
    """The function that finds the key, without calling it. Raises SigningError where no signer is
    known for the scheme, and whatever the import of a plug-in does."""
    scheme = scheme_of(reference)
    home = BUILT_IN.get(scheme)
    if home is not None:
        module, _, name = home.partition(":")
        built_in: Callable[[str, Ask], Any] = getattr(import_module(module), name)
        return built_in
    from importlib.metadata import entry_points

    for plugin in entry_points(group=GROUP, name=scheme):
        loaded: Callable[[str, Ask], Any] = plugin.load()
        return loaded
    known = ", ".join(f"{name}:" for name in BUILT_IN)
    raise SigningError(f"no signer is known for '{printable(scheme)}:'; there are {known}")


@contextlib.contextmanager
def _as_signing_errors(reference: str, secrets: Secrets) -> Iterator[None]:
    """Raise SigningError for whatever another library raises, and tell no secret."""
    try:
        yield
    except IntegrityError as error:
        error.path = error.path or reference
        raise
    except Exception as error:
        text = printable(secrets.without(str(error)))[:_FOREIGN_TEXT]
        raise SigningError(
            f"the signer failed ({type(error).__name__}: {text})", path=reference
        ) from None
