# SPDX-License-Identifier: Apache-2.0
"""A model that was checked, and how its bytes are kept as they were then.

A read lease keeps writers out where it can be had. Where it cannot, a clone is as good, if the file
system makes one (``files.cloning``). Where neither can be had, a single file is compared again
chunk by chunk as it is served; the files of a set, whose loaders open paths, are copied to files
that have no name, and it is the copies that are checked.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.file_set import OpenSet, Part
from keras_integrity_hook.containers.model_file import ModelFile, SealedModel
from keras_integrity_hook.containers.opening import errors_of
from keras_integrity_hook.errors import ChecksumMismatchError, UnreadableFileError
from keras_integrity_hook.files import cloning, exhaustion, portable
from keras_integrity_hook.files.lease import ReadLease
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.sealing.content import FileContent, PartContent
from keras_integrity_hook.verification import digests

if TYPE_CHECKING:
    from keras_integrity_hook.verification.ahead import AheadContent
else:  # for those who look annotations up at run time
    AheadContent = object

LINKS = portable.DESCRIPTORS
"""Where descriptors of this process have paths, on Linux."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A sealed model whose content matched its seal; made by :func:`verify` alone.

    Attributes:
        model: open; its content is what was checked.
        leases: what keeps writers out, from before the check on.
        times: when the files of a set were last changed, in nanoseconds.
        ahead: what verifies it ahead of its reader, where it was not verified whole before.
    """

    model: SealedModel
    leases: tuple[ReadLease, ...]
    times: tuple[int, ...]
    ahead: AheadContent | None = None

    @property
    def files(self) -> OpenSet:
        """The files of a set. Raises ValueError for a single file."""
        if self.model.files is None:
            raise ValueError("a single file is no set of files")
        return self.model.files

    @property
    def is_leased(self) -> bool:
        """Whether nobody can have changed a file since it was checked."""
        return all(lease.keeps for lease in self.leases)

    def check_again(self) -> None:
        """Check the content again if a writer may have got through meanwhile.

        One that waited for long enough may have put back what was there before; the time of
        the last change tells.

        Raises:
            ChecksumMismatchError: a file was changed while it was being loaded.
        """
        if self.ahead is not None:
            self.ahead.finish()
        if self.is_leased:
            return
        with errors_of(self.model.path):
            digests.check_content(self.model, afresh=True)
            if _times(self.model) != self.times:
                raise ChecksumMismatchError(
                    "a file was written to while it was being loaded",
                    container=self.model.container,
                )

    def release(self) -> None:
        """Let waiting writers go on; calling it again does nothing."""
        if self.ahead is not None:
            self.ahead.close()
        for lease in self.leases:
            lease.release()

    def close(self) -> None:
        """Let writers go on, and close the model; calling it again does nothing."""
        self.release()
        self.model.close()


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A set without a seal whose files are held, to be handed over as a verified one is.

    Its files are opened once and by no loader: what was inspected is what is loaded. There is
    nothing that the rest could be compared with.
    """

    model: ModelFile

    @property
    def files(self) -> OpenSet:
        """Its files. Raises ValueError for a single file."""
        if self.model.files is None:
            raise ValueError("a single file is no set of files")
        return self.model.files

    def check_again(self) -> None:
        """Do nothing: see above."""

    def close(self) -> None:
        """Close the model; calling it again does nothing."""
        self.model.close()


def verify(model: SealedModel, *, ahead: bool = False) -> Verified:
    """Check all of ``model``, and keep it so. It stays open whatever happens.

    Args:
        model: open; of a set every file is held.
        ahead: it may be handed over when all but the numbers in it was verified. Those are
            verified ahead of their reader, who asks for the verdict (``AheadContent.finish``).

    Raises:
        ChecksumMismatchError, DamagedFileError: it does not match its seal.
        UnreadableFileError: a set had to be copied, and there is no room for that.
    """
    digests.check_members(model)
    leases: list[ReadLease] = []
    try:
        if model.files is None:
            leases.append(_held(model.fd))
        else:
            model = _held_set(model, model.files, leases)
        times = _times(model)
        with errors_of(model.path):
            if ahead:
                started = _started_ahead(model, leases)
                if started is not None:
                    return Verified(model, tuple(leases), times, started)
            digests.check_content(model)
    except BaseException:
        _release(leases)
        raise
    return Verified(model, tuple(leases), times)


def _started_ahead(model: SealedModel, leases: list[ReadLease]) -> AheadContent | None:
    """``model`` as far as it has to be verified before it is read; None where that is all of it.

    Raises:
        ChecksumMismatchError, DamagedFileError: it does not match its seal.
    """
    from keras_integrity_hook.verification import ahead_plan
    from keras_integrity_hook.verification.ahead import AheadContent

    if model.content.size != model.seal.statement.size or not ahead_plan.fits(model):
        return None
    if model.files is not None and not all(lease.keeps for lease in leases):
        return None  # at its end everything is verified again, so it may as well be first
    data = ahead_plan.chunks_of_data(model)
    if not any(data):
        return None
    content = AheadContent(model, leases, data)
    try:
        content.verify_structure()
    except BaseException:
        content.close()
        raise
    if model.files is not None:
        _serve_ahead(model.files, content)
    return content


def _serve_ahead(files: OpenSet, content: AheadContent) -> None:
    """Let those who read the weights of a set read ``content``."""
    from keras_integrity_hook.verification import ahead_plan

    start = 0
    for part in files.parts:
        size = part.content.size
        if ahead_plan.is_read_by_us(files, part):
            part.content = PartContent(content, start, size)
        start += size


def no_room(model: ModelFile, error: OSError) -> UnreadableFileError:
    """The refusal where a private copy of ``model`` could not be made."""
    cause = f"no private copy could be made in {tempfile.gettempdir()} ({error.strerror})"
    remedy = exhaustion.remedy_for(error) or (
        f"Make room there for up to {model.content.size:,} bytes, or set TMPDIR to a place that "
        "has it."
    )
    return UnreadableFileError(cause, path=model.path, remedy=remedy)


def _held(fd: int) -> ReadLease:
    """A lease on the open file; where none is to be had, on a clone that takes its place.

    The descriptor has its number as before, and leads to the clone.
    """
    lease = ReadLease(fd)
    if lease.held:
        return lease
    clone = cloning.nameless_clone(fd)
    if clone is None:
        return lease
    lease.release()
    os.dup2(clone, fd, inheritable=False)
    os.close(clone)
    return ReadLease(fd, is_beyond_reach=cloning.is_beyond_reach())


def _held_set(model: SealedModel, files: OpenSet, leases: list[ReadLease]) -> SealedModel:
    """``model`` with every file leased or copied, as ``leases`` tell. Raises as :func:`verify`."""
    for part in files.parts:
        if part.fd < 0:
            continue
        lease = _held(part.fd)
        if not (lease.held and (os.path.isdir(LINKS) or cloning.is_beyond_reach())):
            lease.release()
            try:
                lease = _copied(part)
            except OSError as error:
                raise no_room(model, error) from error
            if not lease.held:
                continue
        leases.append(lease)
    return model.with_seal(model.seal, files.content)


def _copied(part: Part) -> ReadLease:
    """Make ``part`` a copy without a name, which ends with the process however that ends.

    Programs of the same user can open it by way of /proc; a lease, if there is one, tells.
    """
    with tempfile.TemporaryFile() as file:
        copy_content(part.content, file.fileno())
        os.close(part.fd)
        part.fd, part.content = -1, FileContent(-1, 0, 0)
        copied = _read_only(file.fileno())
        size = system.fstat(copied).st_size
    part.fd, part.content = copied, FileContent(copied, 0, size)
    return ReadLease(copied)


def _read_only(fd: int) -> int:
    """A descriptor of the file behind ``fd`` by which nobody can write."""
    if os.path.isdir(LINKS):
        return system.open(f"{LINKS}/{fd}", os.O_RDONLY | portable.O_CLOEXEC)
    return os.dup(fd)


def _times(model: SealedModel) -> tuple[int, ...]:
    parts = model.files.parts if model.files is not None else ()
    return tuple(system.fstat(part.fd).st_ctime_ns for part in parts if part.fd >= 0)


def _release(leases: list[ReadLease]) -> None:
    for lease in leases:
        lease.release()
