# SPDX-License-Identifier: Apache-2.0
"""The root of all refusals, and the errors of a file, a setting or a process as such."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_integrity_hook import texts
from keras_integrity_hook.texts import printable

_REPR = 100  # characters
HOME = __name__.rpartition(".")[0]


def at_home(cls: type) -> None:
    """Name ``cls`` after the package of errors, whichever of its modules it is written in: that is
    what tracebacks show, filters name, and pickles of other versions ask for."""
    if cls.__module__.startswith(f"{HOME}."):
        cls.__module__ = HOME


class IntegrityError(Exception):
    """Root of all refusals.

    Control characters of the cause and the remedy are escaped here, once: either may quote a file.

    Args:
        cause: what happened, one sentence without a final stop.
        path: the file concerned, as the user named it, or None. It stays as it is, so that it can
            be opened, and is escaped where it is shown.
        remedy: what a person can do about it, where that is not what can always be done about
            errors of this class.

    Attributes:
        is_told: it was recorded already that it refuses a load.
        sealed: what the model's seal says of itself, where it could be read: ``"created"`` and, if
            they are known, ``"by"``, ``"name"`` and ``"version"``; printable.
    """

    __module__ = HOME
    code = "integrity-error"
    default_remedy = "Restore the file from a trusted copy."
    # Errors that an older version pickled have neither.
    _remedy: str | None = None
    sealed: Mapping[str, str] | None = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        at_home(cls)

    def __init__(self, cause: str, *, path: str | None = None, remedy: str | None = None) -> None:
        self.cause = printable(cause)
        super().__init__(self.cause)
        self.path = path
        self.is_told = False
        if remedy is not None:
            self._remedy = printable(remedy)

    def remedy(self) -> str:
        """What a person can do about it, in one or two sentences; with the path, if it is known."""
        return texts.with_path(self._remedy or self.default_remedy, self.path)

    def evidence(self) -> dict[str, Any]:
        """The typed evidence as JSON-able values; empty where there is none."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """The error for machines: ``code``, ``message``, ``path``, ``remedy``, ``evidence``, and
        ``sealed``."""
        return {
            "code": self.code,
            "message": self.cause,
            "path": self.path,
            "remedy": self.remedy(),
            "evidence": self.evidence(),
            "sealed": dict(self.sealed) if self.sealed else None,
        }

    def facts(self) -> tuple[str, ...]:
        """What happened, what the seal says of itself, and what to do: printable sentences."""
        where = f"{printable(self.path)}: " if self.path else ""
        return tuple(filter(None, (f"{where}{self.cause}.", self._seal_says(), self.remedy())))

    def in_one_line(self) -> str:
        """For logs, and wherever a line is a record."""
        return " ".join(self.facts())

    def _seal_says(self) -> str:
        if not self.sealed:
            return ""
        named = [self.sealed[key] for key in ("name", "version") if key in self.sealed]
        what = f"this is '{' '.join(named)}', " if named else ""
        by = f" by {self.sealed['by']}" if "by" in self.sealed else ""
        return f"Its seal says: {what}sealed at {self.sealed['created']}{by}."

    def __str__(self) -> str:
        """One fact a line, as whoever prints a traceback shows it; see :meth:`in_one_line`."""
        kind = type(self)
        return texts.laid_out(self.facts(), after=len(f"{kind.__module__}.{kind.__qualname__}: "))

    def __repr__(self) -> str:
        text = self.facts()[0]
        text = text if len(text) <= _REPR else f"{text[: _REPR - 1]}…"
        return f"{type(self).__name__}({text!r})"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from html import escape

        first, *rest = map(escape, self.facts())
        lines = "".join(f"<br>{line}" for line in rest)
        return f"<div><b>{type(self).__name__}</b>: {first}{lines}</div>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (Ray, joblib, multiprocessing): keep evidence and type.
        return _rebuild, (type(self), self.args, self.__dict__)


class UnreadableFileError(IntegrityError):
    """The path cannot be read as a regular file: missing, no permission, directory, FIFO, ..."""

    code = "unreadable"
    default_remedy = "Check the path, its type and its permissions."


class LimitExceededError(IntegrityError):
    """A size, count or depth is over the cap in :mod:`keras_integrity_hook.limits`."""

    code = "limit-exceeded"
    default_remedy = "No file that Keras wrote looks like this: treat it as hostile or damaged."


class ConfigurationError(IntegrityError):
    """A setting has a value that is not one of the allowed ones."""

    code = "configuration"
    default_remedy = "Correct the setting; until then nothing is loaded."


class NotActiveError(IntegrityError):
    """The hook is not protecting this process."""

    code = "not-active"
    default_remedy = "Run 'keras-integrity doctor' to see why."


class UnsupportedKerasError(IntegrityError):
    """This Keras lacks a function that has to be guarded."""

    code = "unsupported-keras"
    default_remedy = (
        "Install a supported version of Keras, upgrade keras-integrity-hook, or opt out with "
        "KERAS_INTEGRITY=off."
    )


class UnsupportedPlatformError(IntegrityError):
    """This system cannot be guarded: it lacks what every check and every save here relies on."""

    code = "unsupported-platform"
    default_remedy = (
        "Use Keras on Linux, macOS or Windows (or in a container there), uninstall "
        "keras-integrity-hook here, or set the environment variable KERAS_INTEGRITY=off to work "
        "without the guard."
    )


class AuditError(IntegrityError):
    """An event could not be recorded and the policy says that it must be."""

    code = "audit"
    default_remedy = "Make the audit log writable; until then nothing is loaded or saved."


class SiteError(IntegrityError):
    """The machine's set-up could not be changed; it is as it was."""

    code = "site"
    default_remedy = "Run the command as root, for the Python that is to be protected."


def _rebuild(kind: type[IntegrityError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
