# SPDX-License-Identifier: Apache-2.0
"""Report files: for machines that show test reports (JUnit XML) and findings (SARIF), and pages.

JUnit XML has no standard; this is what Jenkins, GitLab and GitHub's actions read alike.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from keras_integrity_hook.cli import sarif
from keras_integrity_hook.cli.output import Result
from keras_integrity_hook.cli.summary import Outcome
from keras_integrity_hook.errors import ConfigurationError, IntegrityError, printable
from keras_integrity_hook.files import atomic, portable
from keras_integrity_hook.files.portable import system
from keras_integrity_hook.texts import with_path

_BEGINS = {"junit": b"<?xml", "sarif": b"{", "html": b"<!doctype html>"}
_REMEDY = "Name another file for the report."


def check_target(form: str, path: str) -> None:
    """Find out whether a report may be written to ``path``.

    Raises:
        ConfigurationError: its directory is not there or may not be written, or what is there
            does not look like a report of this form: ``--junit model.keras`` must cost no model.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise ConfigurationError(
            f"the directory of the {form} report is not there or may not be written",
            path=path,
            remedy=_REMEDY,
        )
    if not _is_replaced(path):
        _refuse_stored(form, path)
        return
    try:
        with open(path, "rb") as file:
            begun = file.read(len(_BEGINS[form]))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unwritable(form, path, error) from error
    if begun and begun != _BEGINS[form]:
        raise ConfigurationError(
            f"is no {form} report, and would be overwritten by one", path=path, remedy=_REMEDY
        )


def _refuse_stored(form: str, path: str) -> None:
    """Raises ConfigurationError for a directory, and for a disk, which has no name to be lost."""
    with contextlib.suppress(FileNotFoundError):
        mode = system.stat(path).st_mode
        for is_kind, number in ((stat.S_ISDIR, errno.EISDIR), (stat.S_ISBLK, errno.EACCES)):
            if is_kind(mode):
                raise _unwritable(form, path, OSError(number, os.strerror(number)))


def write(form: str, outcome: Outcome, path: str) -> None:
    """Write the report on ``outcome``, as :func:`put` does."""
    put(junit(outcome) if form == "junit" else sarif.document(outcome), path, form=form)


def put(text: str, path: str, *, form: str) -> None:
    """Write a report whole or not at all; through a link of the user's own, and of nobody else.

    Raises:
        ConfigurationError: it cannot be written.
    """
    try:
        if _is_replaced(path):
            _replace(path, text.encode())
        else:
            _hand_over(path, text.encode())
    except OSError as error:
        raise _unwritable(form, path, error) from error


def _hand_over(path: str, data: bytes) -> None:
    """Write to the pipe or terminal at ``path``; nothing that is stored is overwritten.

    Somebody else may put a link to a file or a disk in its place at any moment.
    """
    with open(
        system.open(path, os.O_WRONLY | portable.O_CLOEXEC | portable.O_NOCTTY), "wb"
    ) as file:
        mode = system.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
            raise OSError(errno.ESTALE, "something else was put there meanwhile", path)
        file.write(data)


def _replace(path: str, data: bytes) -> None:
    with atomic.open_target(path) as target:
        target.refuse_unwritable()
        with atomic.private_file(target) as private:
            with open(private.create(0o666), "wb") as file:
                file.write(data)
            private.put_in_place(in_place=atomic.why_in_place(target))


def junit(outcome: Outcome) -> str:
    """One test case for each path: passed, failed with cause and remedy, or skipped."""
    from xml.etree import ElementTree as Tree

    skipped = sum(result.state == "skipped" for result in outcome.results)
    facts = {
        "name": f"keras-integrity {outcome.command}",
        "tests": str(len(outcome.results)),
        "failures": str(len(outcome.refused)),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{outcome.seconds:.3f}",
    }
    suite = Tree.Element("testsuite", facts)
    for result in outcome.results:
        named = {"classname": f"keras-integrity.{outcome.command}", "name": printable(result.path)}
        case = Tree.SubElement(suite, "testcase", named)
        if result.error is not None:
            failure = {"type": result.error.code, "message": result.error.cause}
            Tree.SubElement(case, "failure", failure).text = _rest(result.error)
        elif result.state == "skipped":
            Tree.SubElement(case, "skipped", {"message": printable(result.note)})
        else:
            said = " ".join(filter(None, (f"{result.state}.", result.note, _advice(result))))
            Tree.SubElement(case, "system-out").text = printable(said)
    suites = Tree.Element("testsuites")
    suites.append(suite)
    Tree.indent(suites)
    body = Tree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _rest(error: IntegrityError) -> str:
    """What the seal says of itself, and what to do."""
    return " ".join(error.facts()[1:])


def _advice(result: Result) -> str:
    return with_path(result.advice, result.path)


def _is_replaced(path: str) -> bool:
    """Whether a file takes the place of what is there: not of a pipe or a device."""
    try:
        return stat.S_ISREG(system.stat(path).st_mode)
    except OSError:
        return True


def _unwritable(form: str, path: str, error: OSError) -> ConfigurationError:
    cause = f"the {form} report cannot be written ({error.strerror or error})"
    return ConfigurationError(cause, path=path, remedy=_REMEDY)
