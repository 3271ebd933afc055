# SPDX-License-Identifier: Apache-2.0
"""``bundle``: detached signatures of OpenSSF Model Signing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import ConfigurationError, IntegrityError, SigningError
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.signing.trust import TrustStore

_path = click.argument("path", type=click.Path())
_key_or_roots = "Give a public key or root certificates, not both."


@click.group()
def bundle() -> None:
    """Sign and verify with detached signatures (OpenSSF Model Signing).

    They lie beside a model, as <file>.sig or as model.sig in a directory, and leave it as it is.
    The tool 'model_signing' reads and writes the same.
    """


@bundle.command()
@_path
@click.option("--key", metavar="KEY", help="Path, env:NAME or signer URI; else the setting 'key'.")
@click.option(
    "--certificates",
    metavar="FILE",
    type=click.Path(),
    help="The key's certificate and those between it and the root, in PEM.",
)
@click.option("--output", "target", metavar="FILE", type=click.Path(), help="Where to write it.")
@json_option
def sign(
    path: str, key: str | None, certificates: str | None, target: str | None, as_json: bool
) -> None:
    """Sign the file PATH, or every file of the directory PATH, as they are now.

    The key is ECDSA, the one kind that these signatures have. A seal is part of what is signed:
    seal first.
    """
    from keras_integrity_hook import settings
    from keras_integrity_hook.cli.signing import Prompt
    from keras_integrity_hook.interop import sign as signing

    try:
        reference = key or settings.at(path).key
        if reference is None:
            raise SigningError("no key is given or configured", path=path)
        chain = None if certificates is None else _read(certificates)
        ask = Prompt() if sys.stdin.isatty() else None
        done = signing.sign(path, reference, chain=chain, output=target, ask=ask)
    except IntegrityError as error:
        output.failed("bundle sign", error, as_json=as_json)
    if as_json:
        output.emit("bundle sign", ok=True, path=path, **done._asdict())
        return
    output.state("signed", path)
    output.facts([("signature", done.bundle), ("files", done.files), ("key id", done.keyid)])


@bundle.command()
@_path
@click.option("--bundle", "where", metavar="FILE", type=click.Path(), help="The signature.")
@click.option("--public-key", metavar="FILE", type=click.Path(), help="The one key to trust.")
@click.option(
    "--certificates", metavar="FILE", type=click.Path(), help="The root certificates to trust."
)
@json_option
def verify(
    path: str,
    where: str | None,
    public_key: str | None,
    certificates: str | None,
    as_json: bool,
) -> None:
    """Compare the file PATH, or every file of the directory PATH, with its detached signature.

    Whom to trust is what the trust files say, unless a key or certificates are given. A key that
    is revoked there counts for nothing either way.
    """
    from keras_integrity_hook.interop.review import review

    if public_key and certificates:
        raise click.UsageError(_key_or_roots)
    try:
        store = _trusted(public_key, certificates)
        found = review(path, store, datetime.now(UTC), bundle=where)
    except IntegrityError as error:
        output.failed("bundle verify", error, as_json=as_json)
    facts = {"bundle": found.bundle, "files": found.files, "model": found.model}
    if as_json:
        signer = {"names": list(found.signer.names), "keyid": found.signer.keyid}
        output.emit("bundle verify", ok=True, path=path, signer=signer, **facts)
        return
    output.state("signed", path)
    output.facts([("signed by", ", ".join(found.signer.names)), *facts.items()])


def _trusted(public_key: str | None, certificates: str | None) -> TrustStore:
    from keras_integrity_hook.signing import keys, trust
    from keras_integrity_hook.signing.trust_file import TrustedKey, TrustedRoot

    store = trust.store()
    if public_key:
        public = keys.public_key(_read(public_key))
        if not public.scheme.startswith("ecdsa-"):
            raise SigningError("is not an ECDSA key, the one kind there is", path=public_key)
        given = TrustedKey(public_key, public.keyid, public.scheme, public.pem)
        return store._replace(keys=(given,), certificates=(), identities=())
    if certificates:
        roots = TrustedRoot(certificates, _text(certificates), source=certificates)
        return store._replace(keys=(), certificates=(roots,), identities=())
    return store


def _text(path: str) -> str:
    try:
        return _read(path).decode("ascii")
    except UnicodeDecodeError:
        raise ConfigurationError("not certificates in PEM form", path=path) from None


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMITS.trust_file + 1)
    except OSError as error:
        raise SigningError(f"cannot be read ({error.strerror})", path=path) from None
    if len(data) > LIMITS.trust_file:
        raise SigningError(f"is over {LIMITS.trust_file} bytes", path=path)
    return data
