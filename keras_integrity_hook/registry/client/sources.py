# SPDX-License-Identifier: Apache-2.0
"""Where a registry is: a database, a service, or a static mirror of one."""

from __future__ import annotations

from keras_integrity_hook.registry.client.source import Source


def source(url: str, timeout: float) -> Source:
    """What is behind ``url``, as settings spell it.

    Args:
        timeout: seconds that a connection or a statement may take; and each question, to a service
            or to a mirror on a web server.
    """
    if url.startswith("file:"):
        from keras_integrity_hook.registry.client.mirrored import Mirror

        return Mirror(url)
    if url.startswith(("http:", "https:")):
        from keras_integrity_hook.registry.client.web import Web

        return Web(url, timeout)
    from keras_integrity_hook.registry.client.databases import Database

    return Database(url, timeout)
