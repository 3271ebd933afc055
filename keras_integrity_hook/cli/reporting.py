# SPDX-License-Identifier: Apache-2.0
"""``report``: the results of an audit as a page for people."""

from __future__ import annotations

import os

import click

from keras_integrity_hook.cli import ci_reports, output
from keras_integrity_hook.cli.output import json_option
from keras_integrity_hook.errors import ConfigurationError, IntegrityError
from keras_integrity_hook.texts import bytes_of


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path())
@click.option("-o", "--out", metavar="FILE", required=True, help="Where the page goes.")
@click.option("--run", metavar="ID", default="", help="Report this run instead of the newest.")
@json_option
def report(directory: str, out: str, run: str, as_json: bool) -> None:
    """Make one page of the results of an audit, 'fleet scan --out DIR'.

    How many models are sealed, signed, refused and damaged, and how that was in earlier runs; what
    to do next; and which models need somebody. The page is one file without scripts: it can be
    sent, printed and put on a server, and asks nobody for anything. It names models, layers and
    people: whoever may read it should know of them.
    """
    from keras_integrity_hook.fleet.html_report.page import page

    try:
        ci_reports.check_target("html", out)
        text = page(directory, run=run)
        ci_reports.put(text, out, form="html")
    except ConfigurationError as error:
        output.misconfigured("report", error, as_json=as_json)
    except IntegrityError as error:
        output.failed("report", error, as_json=as_json)
    size = len(text.encode())
    if as_json:
        output.emit("report", ok=True, file=os.path.abspath(out), bytes=size)
        return
    output.state("written", out)
    output.detail(f"{bytes_of(size)}, for any browser.")
