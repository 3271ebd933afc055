# SPDX-License-Identifier: Apache-2.0
"""Somebody who publishes trust files: keys on disk and a repository beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from keras_integrity_hook.distribution import publishing, targets
from keras_integrity_hook.distribution.publishing import Published
from keras_integrity_hook.signing import private
from keras_integrity_hook.signing.keys import PublicKey

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


class Publisher:
    """One publisher; ``repository`` is what he lets a web server show."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.home, self.repository = home, home / "repository"
        self.public = self.make_key("all")

    def make_key(self, name: str, kind: str = "ed25519") -> PublicKey:
        return private.write_pair(str(self.home / name), kind, None)

    def publish(
        self,
        trust: str | None = None,
        policy: str | None = None,
        *,
        keys: tuple[str, ...] = ("all",),
        **more: Any,
    ) -> Published:
        """Publish with these keys; ``more`` as of :func:`publishing.publish`."""
        given = {targets.TRUST: trust, targets.POLICY: policy}
        files = {name: text.encode() for name, text in given.items() if text is not None}
        paths = [str(self.home / name) for name in keys]
        return publishing.publish(str(self.repository), files, paths, **more)

    @property
    def root(self) -> bytes:
        """The initial root, as an administrator installs it."""
        return (self.repository / "metadata" / "1.root.json").read_bytes()


def entry(name: str, key: PublicKey) -> str:
    """A key of a trust file."""
    return (
        f'[[keys]]\nname = "{name}"\nkeyid = "{key.keyid}"\nscheme = "{key.scheme}"\n'
        f'public = """\n{key.pem}"""\n'
    )


def recalled(root: str, reason: str = "backdoor") -> str:
    """A recalled model of a trust file."""
    return f'[[revoked_models]]\nroot = "{root}"\nreason = "{reason}"\n'


def revoked(keyid: str, reason: str = "stolen") -> str:
    """A revoked key of a trust file."""
    return f'[[revoked_keys]]\nkeyid = "{keyid}"\nreason = "{reason}"\n'
