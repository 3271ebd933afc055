# SPDX-License-Identifier: Apache-2.0
"""The files of a TUF repository: read, verified, and written so that clients never see half of it.

Layout: ``metadata/N.root.json``, ``N.targets.json``, ``N.snapshot.json``, ``timestamp.json``, and
``targets/<sha256>.<name>`` (consistent snapshots, TUF specification, section 6.2). What a client
sees is decided by ``timestamp.json``, which is written last.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from keras_integrity_hook import texts
from keras_integrity_hook.distribution import places
from keras_integrity_hook.errors import ConfigurationError, SigningError
from keras_integrity_hook.files import portable, reading
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.signing import openssl

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

    AnyFile = Metadata[Any]
    RootFile = Metadata[Root]
    TargetsFile = Metadata[Targets]
    SnapshotFile = Metadata[Snapshot]
    TimestampFile = Metadata[Timestamp]
else:  # for those who look annotations up at run time
    AnyFile = RootFile = TargetsFile = SnapshotFile = TimestampFile = Root = object

_SPOILT = (
    "Somebody else has written it. Take the copy that lies where the keys are; machines believe "
    "nothing of this one."
)


def require_tuf() -> None:
    """Raise ConfigurationError where python-tuf is not installed."""
    try:
        import tuf.api.metadata  # noqa: F401
    except ImportError:
        cause = "trust files are published and pulled with python-tuf, which is not installed"
        raise ConfigurationError(cause, remedy=texts.extra("tuf", "tuf>=6")) from None


class Repository:
    """One repository, of which nothing is written before :meth:`write`.

    Attributes:
        root, targets, snapshot, timestamp: the newest metadata, or what is to become the first.
        published: the versions that are there, by role; 0 where there is none yet.
    """

    root: RootFile
    targets: TargetsFile
    snapshot: SnapshotFile
    timestamp: TimestampFile

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._before: RootFile | None = None  # the root that is published
        self.published: dict[str, int] = {}
        self._read()

    @classmethod
    @contextmanager
    def opened(cls, directory: str) -> Iterator[Repository]:
        """The repository in ``directory``, which is made if need be, for one publisher at a time.

        Raises:
            SigningError: what is there is not what its keys signed.
            OSError: it cannot be read or made.
        """
        for name in ("metadata", "targets"):
            os.makedirs(os.path.join(directory, name), exist_ok=True)
        fd = system.open(directory, os.O_RDONLY | portable.O_DIRECTORY | portable.O_CLOEXEC)
        try:
            portable.lock(fd, wait=True)
            yield cls(directory)
        finally:
            portable.close(fd)

    @property
    def first_root(self) -> str:
        """The path of the root that machines are given to begin with."""
        return os.path.join(self._directory, "metadata", "1.root.json")

    def of(self, role: str) -> AnyFile:
        """The metadata of ``role``."""
        metadata: AnyFile = getattr(self, role)
        return metadata

    def key_ids(self, role: str) -> frozenset[str]:
        """The ids of the keys that may sign ``role``; a new root is signed by old keys as well."""
        found = frozenset(self.root.signed.roles[role].keyids)
        if role == "root" and self._before is not None:
            found |= frozenset(self._before.signed.roles[role].keyids)
        return found

    def is_signed(self, role: str) -> bool:
        """Whether enough of its keys have signed the metadata as it is."""
        by = [self.root.signed]
        if role == "root" and self._before is not None:
            by.append(self._before.signed)
        return all(_is_signed(self.of(role), role, root) for root in by)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write what is new: files, and then what names them.

        Raises:
            OSError: clients see what they saw before.
        """
        for name, data in files.items():
            digest = self.targets.signed.targets[name].hashes["sha256"]
            self._put(os.path.join("targets", f"{digest}.{name}"), data)
        # New keys are known before they sign; and where there is a root, there is all of it.
        last = ("root", "timestamp") if self.published["root"] else ("timestamp", "root")
        for role in ("targets", "snapshot", *last):
            metadata = self.of(role)
            if metadata.signed.version != self.published[role]:
                number = "" if role == "timestamp" else f"{metadata.signed.version}."
                self._put(os.path.join("metadata", f"{number}{role}.json"), metadata.to_bytes())

    def _put(self, name: str, data: bytes) -> None:
        places.put(os.path.join(self._directory, name), data)

    def _read(self) -> None:
        """Read what the timestamp leads to; what a publication that was cut short left is not."""
        from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

        roots = self._roots()
        timestamp = self._verified("timestamp.json", roots) if roots else None
        snapshot = targets = None
        if timestamp is not None:
            version = timestamp.signed.snapshot_meta.version
            snapshot = self._verified(f"{version}.snapshot.json", roots)
        if snapshot is not None:
            version = snapshot.signed.meta["targets.json"].version
            targets = self._verified(f"{version}.targets.json", roots)
        if roots and None in (timestamp, snapshot, targets):
            raise _spoilt("a file is missing", self._directory)
        found = {"timestamp": timestamp, "snapshot": snapshot, "targets": targets}
        self.published = {role: one.signed.version if one else 0 for role, one in found.items()}
        self.published["root"] = roots[-1].signed.version if roots else 0
        self._before = roots[-1] if roots else None
        self.root = Metadata.from_bytes(roots[-1].to_bytes()) if roots else Metadata(Root())
        self.timestamp = timestamp or Metadata(Timestamp())
        self.snapshot = snapshot or Metadata(Snapshot())
        self.targets = targets or Metadata(Targets())

    def _roots(self) -> list[RootFile]:
        """Every root from the first to the newest, each signed by the keys of the one before."""
        from tuf.api.exceptions import UnsignedMetadataError

        chain: list[RootFile] = []
        while len(chain) < LIMITS.published_roots:
            root: RootFile | None = self._metadata(f"{len(chain) + 1}.root.json")
            if root is None:
                break
            try:
                with openssl.entered():
                    for signer in (root, *chain[-1:]):
                        signer.signed.verify_delegate("root", root.signed_bytes, root.signatures)
            except UnsignedMetadataError as error:
                raise _spoilt(f"{len(chain) + 1}.root.json", self._directory) from error
            chain.append(root)
        return chain

    def _verified(self, name: str, roots: Sequence[RootFile]) -> AnyFile | None:
        """The metadata in a file that was signed as one of ``roots`` said; the newest may have come
        after it."""
        metadata = self._metadata(name)
        if metadata is None:
            return None
        for root in reversed(roots):
            if _is_signed(metadata, metadata.signed.type, root.signed):
                return metadata
        raise _spoilt(name, self._directory)

    def _metadata(self, name: str) -> AnyFile | None:
        from tuf.api.metadata import Metadata
        from tuf.api.serialization import DeserializationError

        path = os.path.join(self._directory, "metadata", name)
        if not os.path.lexists(path):
            return None
        try:
            return Metadata.from_bytes(reading.read_file(path, LIMITS.published))
        except DeserializationError as error:
            raise _spoilt(name, self._directory) from error


def _is_signed(metadata: AnyFile, role: str, by: Root) -> bool:
    from tuf.api.exceptions import UnsignedMetadataError

    try:
        with openssl.entered():
            by.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (UnsignedMetadataError, ValueError):
        return False
    return True


def _spoilt(what: str, directory: str) -> SigningError:
    cause = f"the repository is not what its keys signed ({what})"
    return SigningError(cause, path=directory, remedy=_SPOILT)
