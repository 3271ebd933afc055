# SPDX-License-Identifier: Apache-2.0
"""The nearest peer, model_signing, where it is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def model_signing_verifier(model: Path, folder: Path) -> Callable[[], Any] | None:
    """Sign a copy of ``model`` with a fresh EC key and return what verifies it, or None.

    None when model_signing cannot be imported: its wheel does not declare pyopenssl, which it needs
    (``pip install model-signing pyopenssl``).
    """
    try:
        ec = import_module("cryptography.hazmat.primitives.asymmetric.ec")
        serialization = import_module("cryptography.hazmat.primitives.serialization")
        hashing, signing, verifying = (
            import_module(f"model_signing.{name}") for name in ("hashing", "signing", "verifying")
        )
    except ImportError as missing:
        print(f"model_signing is left out: {missing}")
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    private, public, signature = (folder / name for name in ("ec.pem", "ec.pub", "model.sig"))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    signed = folder / "signed"
    signed.mkdir(exist_ok=True)
    target = signed / f"model{model.suffix}"
    shutil.copyfile(model, target)
    os.sync()
    signing.Config().use_elliptic_key_signer(private_key=private).set_hashing_config(
        hashing.Config()
    ).sign(signed, signature)
    checker = verifying.Config().use_elliptic_key_verifier(public_key=public)
    return lambda: checker.verify(signed, signature)
