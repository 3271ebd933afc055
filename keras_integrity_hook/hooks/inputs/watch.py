# SPDX-License-Identifier: Apache-2.0
"""One call of a model whose inputs are looked at: what is refused, what is told."""

from __future__ import annotations

import itertools
import json
import mmap
import os
from typing import Any

from keras_integrity_hook import audit, notices
from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.errors import InputContractError, printable
from keras_integrity_hook.texts import plural

_PAGE = 1 << 16  # bytes: the longest refusal is a tenth of that


class Watch:
    """Holds inputs against a model's contract, all at once or batch by batch."""

    def __init__(self, attached: Attached) -> None:
        self._attached = attached
        self._failure: InputContractError | None = None
        self._batches = itertools.count()
        self._page: mmap.mmap | None = None
        self._process = os.getpid()

    @property
    def contract(self) -> Any:
        """What the inputs are held against: an ``InputContract``."""
        return self._attached.contract

    @property
    def failure(self) -> InputContractError | None:
        """The first refusal. Loaders of data run the check in threads and processes and inside of
        TensorFlow, which make another error of it; the guard of the call asks here afterwards."""
        if self._failure is None and self._page is not None:
            self._failure = _read(self._page)
        return self._failure

    def share(self) -> None:
        """Hear of refusals in processes that are forked from now on."""
        self._page = mmap.mmap(-1, _PAGE)

    def check(self, inputs: Any) -> None:
        """Look at ``inputs``, in Keras's structure.

        Raises:
            InputContractError: they break a rule, and the contract is enforced.
            AuditError: that they do is only told, but cannot be recorded and must be.
        """
        try:
            self._attached.contract.check(inputs)
        except InputContractError as error:
            self._answer(error)

    def check_batch(self, inputs: Any, number: int | None = None) -> None:
        """As :meth:`check`, of one batch of a source.

        Args:
            number: the how-manieth it is, from 0; counted where it is not given.
        """
        number = next(self._batches) if number is None else number
        try:
            self._attached.contract.check(inputs)
        except InputContractError as error:
            error.in_batch(number)
            self._answer(error)

    def refuse_source(self, source: Any) -> None:
        """Refuse what gives its batches to nobody but the model; raises as :meth:`check`."""
        name = f"{type(source).__module__}.{type(source).__qualname__}"
        self._answer(
            InputContractError(
                f"the model has an input contract, and the batches of a {name} cannot be looked at",
                rule="source",
                remedy="Give the model the data set itself, arrays or a generator; or set "
                'inputs = "off" for this model.',
            )
        )

    def _answer(self, error: InputContractError) -> None:
        error.path = error.path or self._attached.path
        # What was asked may be somebody's secret: the record tells of rules and counts alone, and
        # of names that the contract knows.
        name = error.input if error.input in {one.name for one in self.contract.inputs} else ""
        facts = {"input": name, "rule": error.rule, "count": error.count, "why": _why(name, error)}
        if self._attached.is_enforced:
            self._keep(error)
            audit.record("inputs", error.path, outcome="refused", **facts)
            raise error
        audit.record("inputs", error.path, outcome="warned", **facts)
        notices.warn(error.facts(), once=(error.path, error.input, error.rule))

    def _keep(self, error: InputContractError) -> None:
        self._failure = self._failure or error
        if self._page is not None and os.getpid() != self._process:
            told = {"cause": error.cause, "path": error.path, **error.evidence()}
            self._page.seek(0)
            self._page.write(json.dumps(told).encode()[: _PAGE - 1] + b"\0")

    def __getstate__(self) -> dict[str, Any]:
        """For a process that is not forked: what it refuses is heard of as its loader tells it."""
        return {"_attached": self._attached}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_attached"])  # type: ignore[misc]


def _why(name: str, error: InputContractError) -> str:
    """The rule in words, without what was asked."""
    what = f"input '{printable(name)}'" if name else "what was asked"
    often = "" if error.count is None else f" ({plural(error.count, 'time')})"
    return f"{what} breaks the rule {error.rule}{often}"


def _read(page: mmap.mmap) -> InputContractError | None:
    """The refusal that another process has written there."""
    written = page[:].partition(b"\0")[0]
    if not written:
        return None
    try:
        told = json.loads(written)
        return InputContractError(told.pop("cause"), **{**told, "index": tuple(told["index"])})
    except (ValueError, KeyError, TypeError):  # two have written at once
        return InputContractError("an input that a worker process has loaded breaks a rule")


def inputs_of(batch: Any) -> Any:
    """What Keras gives the model of a batch: ``x`` of ``(x,)``, ``(x, y)`` and ``(x, y, weights)``.

    Keras refuses longer ones itself.
    """
    return batch[0] if isinstance(batch, tuple | list) and batch else batch
