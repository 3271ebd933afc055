# SPDX-License-Identifier: Apache-2.0
"""A registry over HTTP: events are taken, answers given; what it says is proven, never believed.

The service holds no actor's key. It can store what actors signed and show it; it cannot make an
event, and its own key says no more than how long the log was, and when.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keras_integrity_hook.errors import RegistryError
from keras_integrity_hook.registry.service.options import Options as Options
from keras_integrity_hook.sealing.statement import spelled

if TYPE_CHECKING:
    from fastapi import FastAPI

    from keras_integrity_hook.registry.events import Service
    from keras_integrity_hook.registry.store import Store
    from keras_integrity_hook.signing.signers import SigningKey
else:  # for those who look annotations up at run time
    FastAPI = Service = Store = SigningKey = object


def app(store: Store, service_key: SigningKey, options: Options = Options()) -> FastAPI:  # noqa: B008 - immutable
    """The service of the registry in ``store``; an ASGI application.

    Args:
        service_key: signs checkpoints and the freshness of answers; of a service in the roles.
    """
    from keras_integrity_hook.registry.service.application import made

    return made(store, service_key, options)


def own_service(store: Store, service_key: SigningKey) -> Service:
    """What the roles in force say of the service's key.

    Raises:
        RegistryError: it is no service's there, or has expired.
    """
    keyid, moment = service_key.public.keyid, spelled(datetime.now(UTC))
    for one in store.roles().services:
        if one.keyid == keyid and one.expires > moment:
            return one
    raise RegistryError(
        f"the key {keyid} is not one of the registry's services, or has expired",
        remedy="Have the administrators sign roles that name this key, with a time it is good for.",
    )
