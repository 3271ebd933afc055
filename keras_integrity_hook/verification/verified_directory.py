# SPDX-License-Identifier: Apache-2.0
"""Verified files for loaders that insist on paths: a private directory with nothing else in it.

TensorFlow and Keras's directory loader open paths, some of them twice. So they get a 0700 directory
of ours that holds the listed files alone: small ones as copies of the checked bytes, large ones as
links to descriptors that are pinned, by a read lease on the file or by an unlinked copy. Whatever
happens to the user's path meanwhile, nothing else is read (CWE-367).
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.file_set import Part
from keras_integrity_hook.containers.model_file import ModelFile, Seal
from keras_integrity_hook.errors import UnreadableFileError
from keras_integrity_hook.files.lease import ReadLease
from keras_integrity_hook.sealing.content import Content, FileContent
from keras_integrity_hook.verification import digests

_LINKS = "/proc/self/fd"
# Both without a lock: each step is atomic, and a finalizer may run in the middle of anything.
_handed: dict[str, tuple[str, Content]] = {}
_tops: set[str] = set()


class VerifiedDirectory:
    """The files of an open, sealed set, checked, below a private directory.

    Attributes:
        path: where the files are: that directory, or the one in it that was asked for.
        original: the path the user named.
    """

    def __init__(self, model: ModelFile, below: str = "") -> None:
        """Check everything and take over ``model``, whose files are held.

        Args:
            model: an open, sealed set.
            below: a directory of this name in the private one takes the files.

        Raises:
            ChecksumMismatchError, DamagedFileError: nothing was handed out.
            OSError: no room for the copies.
        """
        assert model.files is not None
        digests.check_members(model)
        self.original = model.path
        self._model = model
        self._leases: list[ReadLease] = []
        self._top = tempfile.mkdtemp(prefix="keras-integrity-verified-")
        self.path = os.path.join(self._top, below) if below else self._top
        _tops.add(self._top)
        self._remove = weakref.finalize(self, _remove, self._top, os.getpid())
        try:
            for part in model.files.parts:
                if part.fd >= 0:
                    self._pin(part)
            model.content = model.files.content
            digests.check_content(model)
            for part in model.files.parts:
                self._lay_out(part)
        except BaseException:
            self.close()
            raise

    @property
    def seal(self) -> Seal:
        """What its content is checked against."""
        assert self._model.seal is not None
        return self._model.seal

    @property
    def names(self) -> list[str]:
        """The files, relative to :attr:`path`."""
        assert self._model.files is not None
        return [part.name for part in self._model.files.parts]

    def check_again(self) -> None:
        """Check the content again if a lease was broken meanwhile.

        Raises:
            ChecksumMismatchError: a file was changed while it was being loaded.
        """
        if not all(lease.held for lease in self._leases):
            digests.check_content(self._model)

    def outlive(self, owner: Any, *below: str) -> None:
        """Keep the files below the names ``below`` (all if none) as long as ``owner`` lives.

        Their bytes become copies, so that no lease keeps writers waiting; the rest goes now.

        Raises:
            UnreadableFileError: no room for the copies.
            ChecksumMismatchError: a file was changed while it was being loaded.
        """
        try:
            self._keep_copies(below)
        except OSError as error:
            raise no_room(self._model, error) from error
        self.check_again()
        self._remove.detach()
        weakref.finalize(owner, _remove, self._top, os.getpid())
        self._release()

    def _keep_copies(self, below: tuple[str, ...]) -> None:
        assert self._model.files is not None
        for part in self._model.files.parts:
            place = Path(self.path, part.name)
            if below and not part.name.startswith(below):
                place.unlink(missing_ok=True)
            elif place.is_symlink():
                copied = place.with_name(place.name + ".copy")
                _copy(part.content, copied)
                os.replace(copied, place)

    def close(self) -> None:
        """Remove the directory and let writers go on; calling it again does nothing."""
        self._remove()
        self._release()

    def _release(self) -> None:
        for path in list(_handed):
            if path.startswith(self.path + os.sep):
                del _handed[path]
        for lease in self._leases:
            lease.release()
        self._leases.clear()
        self._model.close()

    def _pin(self, part: Part) -> None:
        lease = ReadLease(part.fd)
        if lease.held and os.path.isdir(_LINKS):
            self._leases.append(lease)
            return
        lease.release()
        # Somebody may still write to the file: what is checked and handed out is a copy. An
        # unlinked one leaves nothing behind, however the process ends.
        with tempfile.TemporaryFile(dir=self._top) as file:
            copy_content(part.content, file.fileno())
            copied = os.dup(file.fileno())
        os.close(part.fd)
        part.fd, part.content = copied, FileContent(copied, 0, part.content.size)

    def _lay_out(self, part: Part) -> None:
        place = Path(self.path, part.name)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if part.fd >= 0 and os.path.isdir(_LINKS):
            place.symlink_to(f"{_LINKS}/{part.fd}")
        else:
            _copy(part.content, place)
        assert self._model.files is not None
        shown = os.path.join(self._model.files.place.directory, part.name)
        _handed[str(place)] = (shown, part.content)


def no_room(model: ModelFile, error: OSError) -> UnreadableFileError:
    """The refusal where a checked set could not be laid out."""
    size = f"{model.content.size:,} bytes"
    cause = f"no private copy could be made in {tempfile.gettempdir()} ({error.strerror})"
    refusal = UnreadableFileError(cause, path=model.path)
    refusal.default_remedy = (
        f"Make room there for up to {size}, or set TMPDIR to a place that has it."
    )
    return refusal


def is_verified(path: str) -> bool:
    """Whether ``path`` is a verified directory or lies below one."""
    return any(path == top or path.startswith(top + os.sep) for top in tuple(_tops))


def handed_out(path: str) -> tuple[str, Content] | None:
    """The user's path and the checked bytes of a file in a verified directory, None for others."""
    return _handed.get(path)


def _remove(path: str, pid: int) -> None:
    if pid != os.getpid():
        return  # a forked child ends; the parent still reads there
    _tops.discard(path)
    shutil.rmtree(path, ignore_errors=True)


def _copy(content: Content, target: Path) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        copy_content(content, fd)
    finally:
        os.close(fd)
