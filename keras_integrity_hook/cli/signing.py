# SPDX-License-Identifier: Apache-2.0
"""``keygen`` and ``sign``."""

from __future__ import annotations

import sys

import click

from keras_integrity_hook import api, settings
from keras_integrity_hook.cli import files, output
from keras_integrity_hook.cli.output import Listing, Result, json_option, quiet_option
from keras_integrity_hook.errors import IntegrityError, SigningError
from keras_integrity_hook.signing import secret

NO_KEY_REMEDY = "Name one with --key, in a policy (key = …) or in KERAS_INTEGRITY_KEY."


@click.command()
@click.argument("out", type=click.Path())
@click.option(
    "--type",
    "kind",
    type=click.Choice(["ed25519", "ecdsa"]),
    default="ed25519",
    show_default=True,
    help="Kind of key; ecdsa is P-256, which hardware more often has.",
)
@click.option("--no-passphrase", is_flag=True, help="Do not encrypt the private key.")
@json_option
def keygen(out: str, kind: str, no_passphrase: bool, as_json: bool) -> None:
    """Make a key pair: the private key OUT and the public key OUT.pub.

    The passphrase is asked for, or taken from where saves take it from
    (KERAS_INTEGRITY_KEY_PASSPHRASE_FILE, a file of mode 0600). No file is overwritten.
    """
    from keras_integrity_hook.signing import private

    try:
        private.check_new(out)
        passphrase = None
        if not no_passphrase:
            passphrase = secret.from_environment() or _new_passphrase()
        public = private.write_pair(out, kind, passphrase)
    except IntegrityError as error:
        output.failed("keygen", error, as_json=as_json)
    if as_json:
        facts = {"scheme": public.scheme, "keyid": public.keyid}
        output.emit("keygen", ok=True, private=out, public=f"{out}.pub", **facts)
        return
    output.state("made", out)
    output.facts([("public key", f"{out}.pub"), ("key id", public.keyid)])
    output.detail(
        f"Give the public key to whoever loads: 'keras-integrity trust add NAME {out}.pub'."
    )


@click.command()
@files.paths_argument
@click.option("--key", metavar="KEY", help="Path, env:NAME or signer URI; else the setting 'key'.")
@quiet_option
@json_option
def sign(paths: tuple[str, ...], key: str | None, quiet: bool, as_json: bool) -> None:
    """Sign the seals of files, or of all models in directories.

    Do this to models that you checked: a signature vouches for the content and for all that the
    seal says, the model's name and version among it. Content that does not match its seal is
    refused; symbolic links met in a directory are left alone. A passphrase or PIN is asked for on
    a terminal, never taken from the command line.
    """
    ask = prompt()

    def put(path: str) -> Result:
        reference = key or settings.at(path).key
        if reference is None:
            raise SigningError("no key is given or configured", path=path, remedy=NO_KEY_REMEDY)
        return Result(path, "signed", api.sign(path, key=reference, ask=ask))

    listing = Listing.of(quiet=quiet)
    files.run("sign", paths, put, as_json=as_json, show=_show_signed, listing=listing)


class Prompt:
    """Asks for each secret once, however many files are signed with it."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = click.prompt(name.capitalize(), hide_input=True, err=True)
        return self._known[name]


def prompt() -> Prompt | None:
    """What asks the person at the terminal; None where nobody is."""
    return Prompt() if output.is_terminal(sys.stdin) else None


def _new_passphrase() -> str:
    if not output.is_terminal(sys.stdin):
        raise SigningError(
            "a passphrase is needed and there is no terminal to ask for it",
            remedy=f"Set {secret.PASSPHRASE_FILE}, or make a key without one: --no-passphrase.",
        )
    return str(
        click.prompt("Passphrase", hide_input=True, confirmation_prompt="Once again", err=True)
    )


def _show_signed(result: Result) -> None:
    output.show(result)
    if result.report is None or result.report.seal is None:
        return
    seal = result.report.seal
    output.facts(
        [
            ("sealed as", seal.subject),
            ("created", seal.created),
            ("root", f"{seal.algorithm}:{seal.root}"),
            ("signatures", seal.signatures),
            ("trusted here", ", ".join(result.report.signers) or "none of them"),
        ]
    )
