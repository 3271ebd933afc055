# SPDX-License-Identifier: Apache-2.0
"""``bundle``: detached signatures of OpenSSF Model Signing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import ConfigurationError, IntegrityError, SigningError
from keras_integrity_hook.files import owned
from keras_integrity_hook.limits import LIMITS

if TYPE_CHECKING:
    from keras_integrity_hook.signing.trust_store import TrustStore
else:  # for those who look annotations up at run time
    TrustStore = object

_path = click.argument("path", type=click.Path())
_key_or_roots = "Give a public key or root certificates, not both."


@click.group(cls=Group)
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
    """Sign a file, or every file of a directory, as it is now.

    The signature is written beside PATH, over one that is there. The key is ECDSA, the one kind
    that these signatures have. A seal is part of what is signed: seal first.
    """
    from keras_integrity_hook import settings
    from keras_integrity_hook.cli.signing import NO_KEY_REMEDY, prompt
    from keras_integrity_hook.detached import sign as signing

    try:
        reference = key or settings.at(path).key
        if reference is None:
            raise SigningError("no key is given or configured", path=path, remedy=NO_KEY_REMEDY)
        chain = None if certificates is None else _read(certificates)
        done = signing.sign(path, reference, chain=chain, output=target, ask=prompt())
    except IntegrityError as error:
        error.path = error.path or certificates
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
    """Compare a file, or every file of a directory, with its signature.

    Whom to trust is what the trust files say, unless a key or certificates are given. A key that
    is revoked there counts for nothing either way.
    """
    from keras_integrity_hook.detached.full_check import check_all

    if public_key and certificates:
        raise click.UsageError(_key_or_roots)
    try:
        store = _trusted(public_key, certificates)
        found = check_all(path, store, datetime.now(UTC), bundle=where)
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
    from keras_integrity_hook.detached.certificates import of_root
    from keras_integrity_hook.signing import keys, trust_store
    from keras_integrity_hook.signing.trust_file import TrustedKey, TrustedRoot

    store = trust_store.store()
    if public_key:
        public = keys.read_public(public_key)
        if not public.scheme.startswith("ecdsa-"):
            cause = "is not an ECDSA key, the one kind there is"
            raise SigningError(cause, path=public_key, remedy=keys.PUBLIC_REMEDY)
        given = TrustedKey(public_key, public.keyid, public.scheme, public.pem)
        return store._replace(keys=(given,), certificates=(), identities=())
    if certificates:
        roots = TrustedRoot(certificates, _text(certificates), source=certificates)
        of_root(roots)  # a mistake is told before anything is compared
        return store._replace(keys=(), certificates=(roots,), identities=())
    return store


def _text(path: str) -> str:
    try:
        return _read(path).decode("ascii")
    except UnicodeDecodeError:
        raise ConfigurationError("not certificates in PEM form", path=path) from None


def _read(path: str) -> bytes:
    return owned.read_named(path, LIMITS.trust_file)
