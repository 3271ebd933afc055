# SPDX-License-Identifier: Apache-2.0
"""A load of what lies behind a URL: a private copy is made, checked under the URL, and loaded.

1. Where the policy demands something of the seal, the seal alone is read, in ranges: what it does
   not meet is refused, and nothing is downloaded.
2. The file is fetched once, with the seal and signatures beside it that may count.
3. The caller loads the copy. It is opened, checked and handed over as any local file, and errors,
   rules, the audit log and the history know it by its URL.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_integrity_hook import errors, settings
from keras_integrity_hook.containers.kinds import (
    SEAL_SUFFIX,
    SIGNATURE_NAME,
    SIGNATURE_SUFFIX,
    SUMMARIES_SUFFIX,
)
from keras_integrity_hook.containers.opening import open_alone
from keras_integrity_hook.limits import LIMITS, MIB
from keras_integrity_hook.loading import override
from keras_integrity_hook.loading.surfacing import speaking_of
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.remote import peeking, sources, spool, urls
from keras_integrity_hook.remote.sources import Source
from keras_integrity_hook.settings import Settings

_SMALL = 4 * MIB  # what is no larger is fetched as fast as its seal
_COMPANION = LIMITS.envelope + LIMITS.table + LIMITS.padding
# What a seal can be refused for; what is wrong with its form may be for want of what was not read.
_BY_SEAL = (
    errors.ExpiredModelError,
    errors.NotSignedError,
    errors.RecalledModelError,
    errors.RevokedModelError,
    errors.RollbackError,
    errors.SignerChangedError,
    errors.StrippedModelError,
    errors.UnregisteredModelError,
    errors.UnsealedModelError,
    errors.WeakAlgorithmError,
    errors.WrongModelError,
)


@contextlib.contextmanager
def copy_of(url: str, *, is_load: bool = True) -> Iterator[str]:
    """The path of a private copy of the single file at ``url``, which no check has seen yet.

    In the block it is called by the URL; an error of a host that names the copy comes out with it.

    Args:
        is_load: False where it is only to be looked at, whatever the policy demands of it.

    Raises:
        IntegrityError: the policy demands what its seal does not have; or it cannot be fetched.
        FileNotFoundError, IsADirectoryError: nothing is there, or a directory.
        OSError: there is no room for it.
    """
    name = urls.shown(url)
    with sources.open_source(url) as source:
        demands = settings.at_each_name(name)
        if is_load and source.size > _SMALL and any(map(_asks_of_seal, demands)):
            _refuse_by_seal(source, name, demands)
        with spool.fetched(source, algorithm=demands[0].algorithm) as local:
            for companion in _beside(url, demands, seal=not _is_sealed(local)):
                _fetch_companion(companion, local)
            try:
                yield local
            except errors.IntegrityError:
                raise
            except Exception as error:
                speaking_of(error, local, name)
                raise


def _asks_of_seal(demands: Settings) -> bool:
    return demands.needs_seal and not demands.takes_content_without_seal


def _is_sealed(local: str) -> bool:
    """Whether the file has a seal in it: one beside it would not count then."""
    try:
        with open_alone(local) as model:
            return model.seal is not None
    except errors.IntegrityError:
        return False


def _beside(url: str, demands: tuple[Settings, ...], *, seal: bool) -> Iterator[Source]:
    """What lies beside the model and may count: the policy's signatures, and a seal."""
    name = urls.split(url).name
    names = [name + SEAL_SUFFIX] if seal else []
    if any(one.needs_signatures for one in demands):
        names += [name + SIGNATURE_SUFFIX, SIGNATURE_NAME]
    if any(one.needs_vetting for one in demands):
        names.append(name + SUMMARIES_SUFFIX)
    for each in names:
        found = sources.open_companion(urls.beside(url, each))
        if found is not None:
            yield found


def _fetch_companion(companion: Source, local: str) -> None:
    if companion.size > _COMPANION:
        raise errors.LimitExceededError(
            f"it has {companion.size} bytes, over {_COMPANION}", path=urls.shown(companion.url)
        )
    name = urls.split(companion.url).name
    with companion:
        spool.fetch(companion, os.path.join(os.path.dirname(local), name))


def _refuse_by_seal(source: Source, name: str, demands: tuple[Settings, ...]) -> None:
    """(1) Refuse what could not be loaded whatever its content is.

    Raises:
        IntegrityError: one of ``_BY_SEAL``, recorded.
    """
    if override.is_in_force() or settings.mode() is settings.Mode.WARN:
        return
    with peeking.model_without_content(source, name) as model:
        if model is None:
            return
        try:
            admission.admit(model, name, memory=admission.memory_of(name, None))
        except _BY_SEAL as error:
            if any(_beside(source.url, demands, seal=model.seal is None)):
                return  # what lies there may count
            refusal.tell(error)
            raise
        except errors.IntegrityError:
            return
