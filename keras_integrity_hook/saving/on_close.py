# SPDX-License-Identifier: Apache-2.0
"""HDF5 files that are written a value at a time, outside of any save that we see begin and end.

``.lora.h5`` files and users' own stores. There is nothing to wrap but the store: the file is
written where it should be, as ever, since a program may never close it: then it is whole, and
unsealed. Once it is closed it is sealed by replacing it; it is signed only if nobody else could
have written into it until then.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from keras_integrity_hook import audit, settings
from keras_integrity_hook.containers import hdf5
from keras_integrity_hook.containers.copying import copy_content
from keras_integrity_hook.containers.opening import open_alone
from keras_integrity_hook.errors import AuditError, IntegrityError
from keras_integrity_hook.files import portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.history import moves
from keras_integrity_hook.saving import authorship, autosign, in_progress
from keras_integrity_hook.saving import pipeline as save

_ROOM = hdf5.user_block_for(8192)  # enough for most, which then are copied only once


def hdf5_sealed_on_close(path: str) -> Any:
    """An ``h5py.File`` open for writing at ``path``; its ``close`` seals the file."""
    import h5py

    class SealedOnClose(h5py.File):  # type: ignore[misc]
        def close(self) -> None:
            written = system.fstat(self.id.get_vfd_handle()) if self else None
            super().close()
            if written is not None:
                _seal(path, written)

    return SealedOnClose(path, mode="w")


def _seal(path: str, closed: os.stat_result) -> None:
    """Seal what was ``closed``, and not what somebody has put in its place meanwhile."""
    if not stat.S_ISREG(system.stat(path).st_mode):
        return
    try:
        # Alone: a seal beside it is that of what was there before.
        with open_alone(path) as written:
            if not os.path.samestat(system.fstat(written.fd), closed):
                why = "another file took its place before it could be sealed"
                audit.record("save", path, outcome="unsealed", why=why)
                return

            def copy(where: str) -> None:
                fd = system.open(
                    where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | portable.O_CLOEXEC, 0o600
                )
                try:
                    copy_content(written.content, fd, in_progress.user_block_for(where))
                finally:
                    os.close(fd)

            with autosign.only_own_work(lambda: authorship.others_could_write(path)):
                save.save_sealed(path, copy, user_block=_ROOM, ignoring=written.fd)
    except AuditError:
        raise
    except IntegrityError as error:
        # The user's values matter more than their seal; loads will say that there is none.
        audit.record("save", path, outcome="unsealed", error=error)
        moves.left_unsealed(path, settings.for_save(path))
