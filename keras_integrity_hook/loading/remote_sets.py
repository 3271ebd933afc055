# SPDX-License-Identifier: Apache-2.0
"""Sets behind URLs: refused by their seals where that is enough, else fetched to be checked."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from keras_integrity_hook import settings
from keras_integrity_hook.containers.kinds import SIGNATURE_NAME, VOUCHERS, Place
from keras_integrity_hook.containers.opening import open_set
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.loading import override
from keras_integrity_hook.policy import admission, refusal
from keras_integrity_hook.remote import set_fetching, sources, urls
from keras_integrity_hook.settings import Settings


@contextlib.contextmanager
def fetched(place: Place, *named: str) -> Iterator[Place]:
    """The set at ``place``, whose directory is a URL, as a private local one for this block.

    Args:
        named: more paths that it is loaded by.

    Raises:
        FileNotFoundError: nothing of it is there.
        IntegrityError: its seal alone is enough to refuse it; or as :func:`set_fetching.fetched`.
    """
    path = urls.shown(place.path)
    demands = settings.at_each_name(*dict.fromkeys((*named, path)))
    asks_others = any(one.needs_signatures or one.needs_vetting for one in demands)

    def seal_seen(local: Place, names: frozenset[str]) -> None:
        if not _is_about_content(place, names, demands):
            refuse_by_seal(path, local, *named)

    with contextlib.ExitStack() as stack:
        try:
            local = stack.enter_context(
                set_fetching.fetched(place, seal_seen, vouchers=asks_others)
            )
        except IntegrityError as error:
            error.path = error.path or path
            refusal.tell(error)
            raise
        yield local


def _is_about_content(place: Place, names: frozenset[str], demands: tuple[Settings, ...]) -> bool:
    """Whether somebody else may vouch for the content, or be asked about it: then there is no
    telling by the seal alone."""
    if any(one.registry is not None for one in demands):
        return True
    if not any(one.needs_signatures or one.needs_vetting for one in demands):
        return False
    beside = [place.path + end for end in VOUCHERS]
    within = {SIGNATURE_NAME, *(place.stem + end for end in VOUCHERS)}
    return bool(names & within) or (not place.stem and any(map(sources.open_companion, beside)))


def refuse_by_seal(path: str, local: Place, *named: str) -> None:
    """Refuse what the policy does not admit for its seal, or for want of one.

    Args:
        local: where nothing but the seal is, if there is one.

    Raises:
        IntegrityError: as :func:`admission.admit`.
    """
    if override.is_in_force():
        return
    demands = settings.at_each_name(*dict.fromkeys((*named, path)))
    try:
        if os.path.lexists(os.path.join(local.directory, local.seal)):
            with open_set(path, local, hold=False) as model:
                admission.admit(model, *named)
        elif any(one.needs_seal and not one.takes_content_without_seal for one in demands):
            admission.refuse_unsealed(path)
    except IntegrityError as error:
        # What mode "warn" lets through is for the load to warn of.
        if refusal.is_refused(error, report=False):
            raise
