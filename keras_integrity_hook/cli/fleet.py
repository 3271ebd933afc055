# SPDX-License-Identifier: Apache-2.0
"""``fleet``: what is asked of one model, asked of all that there are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click

from keras_integrity_hook.cli import output
from keras_integrity_hook.cli.group import Group
from keras_integrity_hook.cli.output import json_option, quiet_option
from keras_integrity_hook.errors import ConfigurationError, FleetWorkersError, IntegrityError
from keras_integrity_hook.sealing.tree import ALGORITHMS
from keras_integrity_hook.texts import bytes_of, plural

if TYPE_CHECKING:
    from keras_integrity_hook.fleet.audit import Progress
    from keras_integrity_hook.fleet.options import Options
    from keras_integrity_hook.fleet.results import Run
else:  # for those who look annotations up at run time
    Options = Progress = Run = object

_SHOWN = 20  # models that need somebody, before the reader is sent to the report
_WORDS = {"passed": True, "review": True, "refused": False, "failed": False}
"""Each outcome, and whether it is good."""


@click.group(cls=Group)
def fleet() -> None:
    """Verify and inspect, seal or sign every model of a fleet, by many workers.

    Models are found at and below paths and URLs (s3://, gs:// and others), whatever their number.
    What is found goes into Parquet files in the directory --out; 'keras-integrity report DIR' makes
    a page of them. It needs keras-integrity-hook[fleet], and the package of the store (s3fs, gcsfs
    and others).
    """


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options of all of them."""
    for option in (
        json_option,
        quiet_option,
        click.option(
            "--resume", is_flag=True, help="Go on with the last run there, if it was stopped."
        ),
        click.option(
            "--policy",
            metavar="FILE",
            type=click.Path(),
            help="The policy that models are held against; by default the one in force here.",
        ),
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            default="",
            help="Let the workers of this scheduler of Dask's do it: tls://host:8786.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 1024),
            help="Models at once on this machine; by default four for each core, at most 32.",
        ),
        click.option(
            "--out",
            "directory",
            metavar="DIR",
            required=True,
            type=click.Path(),
            help="Where the results of all runs are kept.",
        ),
        click.argument("locations", metavar="URL...", nargs=-1, required=True),
    ):
        command = option(command)
    return command


@fleet.command()
@_common
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=3600.0,
    show_default=True,
    help="How long one model may take to be fetched.",
)
def scan(**given: Any) -> None:
    """Verify and inspect every model: its seal, policy, trust, registry, and what loading it would
    do. Nothing is changed.

    All reasons to refuse a model are told, not only the first. What cannot be examined is a
    finding, and stops nothing.
    """
    _run("scan", given)


@fleet.command()
@_common
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    help="Digest of the chunks; by default that of the settings.",
)
def seal(**given: Any) -> None:
    """Seal every model that has no seal, as it is now; what has one is examined as by scan.

    Do this to models whose origin you trust. In a store an object is replaced by its sealed copy,
    unless somebody replaced it meanwhile; what is not recognisably Keras's is left alone.
    """
    _run("seal", given)


@fleet.command()
@_common
@click.option(
    "--key", metavar="KEY", required=True, help="Path, env:NAME or URI; each worker has to have it."
)
def sign(**given: Any) -> None:
    """Sign every model whose content matches its seal.

    A passphrase comes from the environment (KERAS_INTEGRITY_KEY_PASSPHRASE_FILE): nobody is asked.
    """
    _run("sign", given)


def _run(verb: str, given: dict[str, Any]) -> NoReturn:
    from keras_integrity_hook.cli import fleet_progress
    from keras_integrity_hook.fleet import audit

    command, as_json, quiet = f"fleet {verb}", given["as_json"], given["quiet"]
    if given["workers"] and given["scheduler"]:
        raise click.UsageError("--workers are started here, --scheduler has its own: give one")
    try:
        with fleet_progress.shown(quiet=quiet or as_json) as watch:
            run, progress = audit.audit(
                given["locations"],
                _options(verb, given),
                given["directory"],
                number=given["workers"],
                scheduler=given["scheduler"],
                resume=given["resume"],
                watch=watch,
            )
    except ConfigurationError as error:
        output.misconfigured(command, error, as_json=as_json)
    except FleetWorkersError as error:
        output.failed(command, error, as_json=as_json, status=output.USAGE)
    except IntegrityError as error:
        output.failed(command, error, as_json=as_json)
    except KeyboardInterrupt:
        click.echo("\nWhat was found is kept; --resume goes on from there.", err=True)
        raise
    is_fine = all(_WORDS[outcome] for outcome in progress.outcomes)
    if as_json:
        output.emit(command, ok=is_fine, **_facts(run, progress, given["directory"]))
    elif not quiet:
        _show(run, progress, given["directory"])
    sys.exit(output.OK if is_fine else output.REFUSED)


def _options(verb: str, given: dict[str, Any]) -> Options:
    """Raises ConfigurationError, InsecurePermissionsError: the policy cannot be relied on."""
    from keras_integrity_hook.files import owned
    from keras_integrity_hook.fleet.options import Options, Verb
    from keras_integrity_hook.limits import LIMITS

    policy = ""
    if given["policy"] is not None:
        data = owned.read_own(given["policy"], LIMITS.policy, named=True)
        if data is None:
            raise ConfigurationError("the policy is not there", path=given["policy"])
        policy = data.decode("utf-8", "surrogateescape")
    return Options(
        Verb(verb),
        policy,
        key=given.get("key", ""),
        algorithm=given.get("algorithm") or "",
        seconds=given.get("seconds", 3600.0),
    )


def _facts(run: Run, progress: Progress, directory: str) -> dict[str, Any]:
    return {
        "run": run.to_dict(),
        "results": directory,
        "outcomes": {str(name): count for name, count in progress.outcomes.items()},
        "refusals": dict(progress.codes.most_common()),
        "bytes_read": progress.size,
        "models_per_second": round(progress.rate, 3),
        "resumed": progress.before,
    }


def _show(run: Run, progress: Progress, directory: str) -> None:
    from keras_integrity_hook.fleet import results

    for finding in progress.notable[:_SHOWN]:
        output.state(str(finding.outcome), finding.location, good=False)
        for refusal in finding.refusals[:1]:
            output.detail(f"{refusal.cause}.")
    more = progress.number_notable - len(progress.notable[:_SHOWN])
    if more > 0:
        output.detail(
            f"and {plural(more, 'more model')} that {'needs' if more == 1 else 'need'} somebody"
        )
    for outcome, count in sorted(progress.outcomes.items()):
        output.state(str(outcome), plural(count, _noun(outcome)), good=_WORDS[outcome])
    for code, count in progress.codes.most_common():
        output.detail(f"{count:>8,}  {code}")
    output.line(
        f"{plural(progress.models, 'model')}, {bytes_of(progress.size)} read, "
        f"{progress.rate:,.1f} a second."
    )
    output.line(f"Results: {results.folder_of(directory, run)}")


def _noun(outcome: str) -> str:
    """What was counted: where nobody could look, nobody knows whether there is a model."""
    return "location" if outcome == "failed" else "model"
