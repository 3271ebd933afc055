# SPDX-License-Identifier: Apache-2.0
"""Checks of a company's own: entry points of the group ``keras_integrity_hook.checks``.

Each is called with every model that is inspected, before it is loaded, and says what it found in
the words of our own rules. One that cannot be imported, raises, or returns something else refuses
the model: nobody knows what it would have said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from keras_integrity_hook import notices, plugins
from keras_integrity_hook.errors import IntegrityError, LimitExceededError, printable
from keras_integrity_hook.inspection import rules
from keras_integrity_hook.inspection.findings import Finding, Verdict
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

GROUP = "keras_integrity_hook.checks"
FAILED = "check-failed"

_CUT = "…"
_NAME = re.compile(r"[\w.-]+", re.ASCII)
_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """The bytes of one model, for reading only.

    They are verified where it has a seal. Of an unsealed one, what our own rules have read
    (configurations, headers) is what will be loaded; the rest may be changed by others meanwhile.

    Attributes:
        path: as the user named it; it may hold other bytes by now, so read them from here.
        container: ``"keras-zip"``, ``"hdf5"``, ``"saved-model"``, … as in a seal.
        files: the size in bytes of each file, by name: the members of a ``.keras`` archive, the
            parts of a model of several files, or an HDF5 file by itself.
    """

    path: str
    container: str
    files: Mapping[str, int] = field(init=False)
    contents: Mapping[str, Content] = field(repr=False)

    def __post_init__(self) -> None:
        sizes = {name: content.size for name, content in self.contents.items()}
        object.__setattr__(self, "files", sizes)

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """``size`` bytes of the file ``name`` from ``offset``; all that follow by default.

        Raises:
            KeyError: there is no such file.
            LimitExceededError: that is more than ``limits.check_read`` at once.
            DamagedFileError, ChecksumMismatchError: the file was changed meanwhile.
        """
        content = self.contents[name]
        rest = max(0, content.size - offset)
        wanted = rest if size is None else min(size, rest)
        if wanted > LIMITS.check_read:
            cause = f"a check reads {wanted:,} bytes of {name} at once"
            remedy = f"Read at most {LIMITS.check_read:,} bytes at a time."
            raise LimitExceededError(cause, path=self.path, remedy=remedy)
        return content.read(offset, wanted)


class Check(Protocol):
    """What an entry point of the group has to be: a function of one model."""

    def __call__(self, model: InspectedModel, /) -> Iterable[Finding]:
        """What is to be said of ``model``; nothing where all is well.

        The rule of a finding is a word of the check's own, in lower case and with hyphens; the
        entry point's name and a colon are put before it. An IntegrityError that it raises refuses
        the model as it is.
        """


class _Installed(NamedTuple):
    """A check by the name of its entry point, or why there is none."""

    name: str
    call: Callable[[InspectedModel], Iterable[Finding]] | None
    trouble: str = ""


_installed: tuple[_Installed, ...] | None = None
_is_checking: ContextVar[bool] = ContextVar("_is_checking", default=False)


def installed() -> tuple[_Installed, ...]:
    """The checks of other distributions, looked for once in a process."""
    global _installed  # noqa: PLW0603
    if _installed is None:
        _installed = tuple(_search())
    return _installed


def findings(
    path: str, container: str, contents: Callable[[], Mapping[str, Content]]
) -> Iterator[Finding]:
    """What the installed checks say of a model, in the order of their names.

    Args:
        path: of the model, as the user named it.
        contents: gives its files by name; not called where no check is installed.

    Raises:
        IntegrityError: a check raised it, or the bytes could not be read.
    """
    checks = installed()
    if not checks:
        return
    model = InspectedModel(path, container, contents())
    for check in checks:
        yield from _said(check, model)


def _said(check: _Installed, model: InspectedModel) -> list[Finding]:
    if check.call is None:
        return [_failure(check, check.trouble)]
    if _is_checking.get():
        return [_failure(check, "a check loads or inspects a model itself")]
    token = _is_checking.set(True)
    try:
        found = list(islice(check.call(model), LIMITS.check_findings + 1))
        if len(found) > LIMITS.check_findings:
            return [_failure(check, f"it has over {LIMITS.check_findings:,} findings")]
        return [_adopted(check, one) for one in found]
    except IntegrityError:
        raise
    except (Exception, SystemExit) as error:
        return [_failure(check, f"{type(error).__name__}: {error}")]
    finally:
        _is_checking.reset(token)


def _adopted(check: _Installed, found: Finding) -> Finding:
    """A stranger's finding under the name of its check, its text escaped and cut.

    Raises:
        TypeError, ValueError: it is no finding.
    """
    if not isinstance(found, Finding):
        raise TypeError(f"it gave {type(found).__name__} where a Finding is expected")
    texts = {name: _text(text) for name, text in found._asdict().items() if name != "verdict"}
    if not _WORD.fullmatch(texts["rule"]):
        raise ValueError(f"'{texts['rule']}' is no rule: lower-case words, joined by hyphens")
    texts["rule"] = f"{check.name}:{texts['rule']}"
    return Finding(verdict=Verdict(found.verdict), **texts)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} in a finding where text is expected")
    shown = printable(text[: LIMITS.finding_text])
    return shown if len(text) <= LIMITS.finding_text else shown + _CUT


def _failure(check: _Installed, why: str) -> Finding:
    """The finding that stands for those which a check could not make."""
    told = _text(why)
    notices.trouble(f"inspection: the check {check.name} failed: {told}")
    return rules.found(FAILED, "", "", check.name, why=f"{rules.RULES[FAILED].why} ({told})")


def _search() -> Iterator[_Installed]:
    try:
        points = sorted(plugins.named(GROUP), key=lambda point: (point.name, point.value))
    except Exception as error:  # a distribution that has checks, and broken metadata
        yield _Installed(GROUP, None, f"they cannot be looked for: {error!r}")
        return
    for point in points:
        name = point.name if _NAME.fullmatch(point.name) else _text(point.value)
        try:
            if name != point.name:
                raise ValueError("its name is to consist of letters, digits, '_', '.' and '-'")
            call = point.load()
            if not callable(call):
                raise TypeError(f"{point.value} is no function")
            yield _Installed(name, call)
        except (Exception, SystemExit) as error:
            yield _Installed(name, None, f"{type(error).__name__}: {error}")
