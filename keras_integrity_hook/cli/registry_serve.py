# SPDX-License-Identifier: Apache-2.0
"""``registry serve`` and ``registry token``: a registry over HTTP, and who may ask it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from keras_integrity_hook import texts
from keras_integrity_hook.cli import output
from keras_integrity_hook.cli import registry_places as places
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.cli.signing import prompt
from keras_integrity_hook.errors import ConfigurationError
from keras_integrity_hook.sealing.statement import spelled
from keras_integrity_hook.signing import signers

if TYPE_CHECKING:
    from keras_integrity_hook.registry.events import Service
    from keras_integrity_hook.registry.service import Options
    from keras_integrity_hook.registry.service.serving import Listening
    from keras_integrity_hook.registry.store import Store
    from keras_integrity_hook.signing.signers import SigningKey
else:  # for those who look annotations up at run time
    Service = Options = Listening = Store = SigningKey = object

_SOON = timedelta(days=14)


@click.command()
@places.url_option
@places.service_key_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    default=8750,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0 is any that is free.",
)
@click.option("--unix", metavar="PATH", default="", help="Listen at a Unix socket instead.")
@click.option("--tls-cert", metavar="FILE", default="", help="Certificate and its chain, PEM.")
@click.option("--tls-key", metavar="FILE", default="", help="The certificate's private key, PEM.")
@click.option("--tokens", metavar="FILE", default="", help="Answer only whoever has a token.")
@click.option(
    "--fresh-for",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long an answer says that nothing was recalled since.",
)
@click.option(
    "--threads",
    default=16,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Requests worked on at once; each has a connection to the database.",
)
@click.option("--upgrade", is_flag=True, help="Bring tables of an older version up to date first.")
@click.option("--log-requests", is_flag=True, help="Print a line for each request.")
def serve(  # noqa: PLR0913, PLR0917 - one argument for each option
    url: str | None,
    service_key: str | None,
    host: str,
    port: int,
    unix: str,
    tls_cert: str,
    tls_key: str,
    tokens: str,
    fresh_for: str,
    threads: int,
    upgrade: bool,
    log_requests: bool,
) -> None:
    """Serve a registry over HTTP, until SIGTERM or Ctrl-C.

    It needs no key of an actor: events come signed. Its own key signs checkpoints, and how long an
    answer counts. Pages for people are at '/', the interface is described at '/openapi.json'. A
    database's password belongs into ~/.pgpass, not on a command line that all users see.
    """
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key belong together.")
    lasting = places.length(fresh_for, "--fresh-for")
    with places.failures("serve", as_json=False):
        listening = _listening(host, port, unix, tls_cert, tls_key)
        options = _options(tokens, lasting, threads, is_tls=bool(tls_cert))
        where = places.url_of(url)
        places.refuse_remote(where)
        with _opened(where, threads, upgrade=upgrade) as store:
            key = signers.find(places.service_key_of(where, service_key), prompt())
            _run(store, key, options, listening, log_requests)


@click.command()
@click.argument("name")
@json_option
def token(name: str, as_json: bool) -> None:
    """Make a token for NAME, and the line for the file of 'serve --tokens'.

    The token goes to whoever asks the registry (KERAS_INTEGRITY_REGISTRY_TOKEN_FILE). The line has
    its SHA-256 only.
    """
    from keras_integrity_hook.registry.service import tokens

    with places.failures("token", as_json=as_json):
        secret, entry = tokens.made(name)
    line = f"{entry.name} {entry.digest}"
    if as_json:
        output.emit("registry token", ok=True, token=secret, line=line)
        return
    output.state("made", f"a token for {entry.name}")
    output.facts([("token", secret), ("line", line)])


def _run(
    store: Store, key: SigningKey, options: Options, listening: Listening, log_requests: bool
) -> None:
    from keras_integrity_hook.registry import service
    from keras_integrity_hook.registry.service import serving

    own = service.own_service(store, key)
    bound = serving.bind(listening)
    url = serving.url_of(listening, bound)

    def ready() -> None:
        output.state("serving", url)
        output.facts([("registry", store.registry_id()), ("events", store.size())])
        for warning in _warnings(own, options, listening):
            output.marked("warning", warning, colour="yellow")

    application = service.app(store, key, options)
    serving.serve(application, listening, bound, ready, log_requests=log_requests)


def _warnings(own: Service, options: Options, listening: Listening) -> list[str]:
    """What is not wrong, and will be or may be."""
    found = []
    if own.expires < spelled(datetime.now(UTC) + _SOON):
        found.append(
            f"the service's key '{own.name}' expires at {own.expires}: nothing that it signs "
            "counts then"
        )
    if options.tokens and not listening.is_local and not listening.certificate:
        found.append("tokens can be read on the way to here: use TLS, here or in a proxy before it")
    if not options.tokens and not listening.is_local:
        found.append(
            f"whoever reaches {listening.host} can read all of this registry, and post events that "
            "their actors have signed: --tokens says who may"
        )
        if not listening.certificate:
            found.append("what is asked can be read on the way: use TLS, here or in a proxy before")
    return found


def _options(path: str, lasting: timedelta, threads: int, *, is_tls: bool) -> Options:
    from keras_integrity_hook.registry.service import Options, tokens

    known = tokens.read(path) if path else ()
    return Options(known, int(lasting.total_seconds()), threads, is_tls=is_tls)


def _listening(*where: str | int) -> Listening:
    try:
        from keras_integrity_hook.registry.service.serving import Listening
    except ImportError as error:
        raise ConfigurationError(
            f"a package that the service needs is not installed ({error.name})",
            remedy=texts.extra(
                "registry",
                "fastapi",
                "uvicorn",
                "jinja2",
                "prometheus-client",
                "sqlalchemy>=2",
                "alembic",
            ),
        ) from None
    return Listening(*where)  # type: ignore[arg-type]


def _opened(url: str, threads: int, *, upgrade: bool) -> Store:
    from keras_integrity_hook.registry.store import open_store

    return open_store(url, upgrade=upgrade, connections=threads)
