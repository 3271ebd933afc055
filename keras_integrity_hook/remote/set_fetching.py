# SPDX-License-Identifier: Apache-2.0
"""A set of files that lies behind a URL comes here: each object once, into a private directory.

What is fetched are the bytes of one moment: the store is asked what is there before and after, and
a set that was changed in between is refused. Its seal comes first, so that a model that the policy
refuses by that alone is not downloaded.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from itertools import accumulate

from keras_integrity_hook.containers import file_set
from keras_integrity_hook.containers.kinds import VOUCHERS, Place
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import (
    IntegrityError,
    LimitExceededError,
    RemoteChangedError,
    UnreadableFileError,
)
from keras_integrity_hook.files import exhaustion, local_copies, temporary
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.remote import (
    arrivals,
    at_once,
    parted,
    set_names,
    sources,
    spool,
    urls,
)
from keras_integrity_hook.remote.arrivals import Cut, Noted
from keras_integrity_hook.remote.sources import Source
from keras_integrity_hook.remote.spool import Manner

_Watch = Callable[[bytes], object] | None


@contextlib.contextmanager
def fetched(
    place: Place,
    seal_seen: Callable[[Place, frozenset[str]], None] = lambda place, names: None,
    *,
    vouchers: bool = False,
    size_seen: Callable[[int, str], None] = lambda size, folder: None,
    watch: _Watch = None,
) -> Iterator[Place]:
    """The set at ``place``, whose directory is a URL, as one of the same name in a local directory.

    That directory is private to this process, is called by the URL, and is gone after the block.

    Args:
        seal_seen: called with the local place, where only the seal is so far if the set has one,
            and with the names of all that is there to be fetched; what it raises ends the fetch.
        vouchers: whether what vouches for a directory beside it is wanted, too.
        size_seen: called before that with the bytes of all of it, and where they are to lie;
            likewise.
        watch: is given each piece of each file as it arrives, from several threads; likewise.

    Raises:
        FileNotFoundError: nothing of the set is there.
        RemoteChangedError: it was changed while it was fetched.
        DamagedFileError, LimitExceededError, RemoteError: see :func:`set_names.present`.
        UnreadableFileError: there is no room for it here.
    """
    found = set_names.present(place)
    if not found:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), urls.shown(place.path))
    size = sum(entry.size for entry in found.values())
    if size > LIMITS.content:
        cause = f"a model of {size} bytes is over {LIMITS.content}"
        raise LimitExceededError(cause, path=urls.shown(place.path))
    with _private_folder(place.directory) as folder, arrivals.noted() as noted:
        size_seen(size, folder)
        local = Place(place.kind, folder, place.stem)
        cuts: dict[str, Cut] = {}
        large = sum(entry.size >= spool.LARGE for entry in found.values())

        def fetch(name: str) -> None:
            entry = found[name]
            try:
                source = sources.open_source(entry.url)
            except (FileNotFoundError, IsADirectoryError) as error:
                raise _changed(place) from error
            # Its version is not compared: some stores say another one in a list.
            if source.size != entry.size:
                raise _changed(place)
            manner = _manner_of(source, noted, cuts.get(name), max(large - 1, 0))
            _copy(source, os.path.join(folder, name), watch, manner)

        at_once.each({place.seal} & found.keys(), fetch)
        seal_seen(local, frozenset(found))
        cuts.update(_cuts_of(local) if place.seal in found else {})
        at_once.each(found.keys() - {place.seal}, fetch)
        if vouchers and place.kind.whole_directory:
            _fetch_vouchers(place.directory, folder, watch)
        if set_names.present(place) != found:
            raise _changed(place)
        yield local


@contextlib.contextmanager
def _private_folder(url: str) -> Iterator[str]:
    """A private directory of the last name in ``url``, by which it is called in this block."""
    with contextlib.ExitStack() as stack:
        with _no_room_told(url):
            above = stack.enter_context(temporary.private_folder())
            folder = os.path.join(above, urls.split(url.rstrip("/")).name)
            os.mkdir(folder, 0o700)
        stack.enter_context(local_copies.standing_for(urls.shown(url), folder))
        yield folder


def _fetch_vouchers(url: str, folder: str, watch: _Watch) -> None:
    """What lies beside the directory ``url``, not in it, and vouches for it."""
    for suffix in VOUCHERS:
        source = sources.open_companion(url.rstrip("/") + suffix)
        if source is None:
            continue
        if source.size > LIMITS.bundle:
            cause = f"a signature of {source.size} bytes is over {LIMITS.bundle}"
            raise LimitExceededError(cause, path=urls.shown(source.url))
        with contextlib.suppress(FileNotFoundError):
            _copy(source, folder + suffix, watch)


def _cuts_of(place: Place) -> dict[str, Cut]:
    """How the seal, which is all of the set that is at ``place`` so far, cuts its files."""
    try:
        with open_set(place.path, place, hold=False) as model:
            if model.seal is None:
                return {}
            stated = model.seal.statement
            names = [file_set.name_of(place, member.name) for member in stated.files]
    except IntegrityError:
        return {}  # it is met again when all the files are there
    starts = accumulate((member.size for member in stated.files), initial=0)
    size = stated.chunk_size
    return {
        name: Cut(stated.algorithm, size, -start % size)
        for name, start in zip(names, starts, strict=False)
    }


def _copy(source: Source, path: str, watch: _Watch, manner: Manner | None = None) -> None:
    """Write what is behind ``source`` to the new file ``path``.

    Args:
        watch, manner: see :func:`spool.fetch`.

    Raises:
        RemoteChangedError: it was changed meanwhile. UnreadableFileError: there is no room.
    """
    with source, _no_room_told(source.url):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        spool.fetch(source, path, watch=watch, manner=manner)


def _manner_of(source: Source, noted: Noted, cut: Cut | None, others: int) -> Manner:
    """How a file is fetched that the seal cuts so, or does not name; beside so many large ones."""
    readers = parted.readers_of(source, others, is_sealed=cut is not None)
    return Manner(noted, lambda head: cut, readers)


def _changed(place: Place) -> RemoteChangedError:
    cause = "the model was changed while it was fetched"
    return RemoteChangedError(cause, path=urls.shown(place.path))


@contextlib.contextmanager
def _no_room_told(url: str) -> Iterator[None]:
    """A full disk here is no fault of the model's: say what it is."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        import tempfile

        cause = f"no private copy could be made in {tempfile.gettempdir()} ({error.strerror})"
        remedy = exhaustion.remedy_for(error) or (
            "Make room there, or set TMPDIR to a directory that has it."
        )
        raise UnreadableFileError(cause, path=urls.shown(url), remedy=remedy) from error
