# SPDX-License-Identifier: Apache-2.0
"""A model in a sandbox: in a confined process of its own, asked as one of Keras's is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.errors import SandboxedModelError
from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.isolation import arrays, structures
from keras_integrity_hook.isolation.attempts import Attempt
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.texts import printable


class Tensor(NamedTuple):
    """One input or output, as the model says.

    Attributes:
        name: printable.
        dtype: of its elements, e.g. ``"float32"``.
        shape: lengths, None where any will do.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


class SandboxedModel(Closing):
    """A model in a confined process; the process ends when this is closed, or collected.

    Whatever it says is a stranger's word: arrays are plain, texts are escaped, sizes bounded.

    Attributes:
        path: as the user named it.
        name: what the model calls itself.
        inputs: a :class:`Tensor`, or a list, tuple or dict of them, as Keras takes them; None where
            the model does not say.
        outputs: likewise.
        contract: the input contract in its seal, and what is in force for it; None for none.
    """

    contract: Attached | None = None

    def __init__(self, process: ConfinedProcess, path: str, said: Mapping[str, Any]) -> None:
        self.path = path
        self._process = process
        try:
            self.name = printable(str(said.get("name", "")))[:100]
            self.inputs = _tensors(said.get("inputs"))
            self.outputs = _tensors(said.get("outputs"))
        except BrokenChannelError as error:
            process.close()
            cause = f"what it says of itself is malformed ({error})"
            raise SandboxedModelError(cause, path=path) from error

    @property
    def input_shape(self) -> Any:
        """The shape of its input, or a structure of shapes; None where the model does not say."""
        return _shapes(self.inputs)

    @property
    def output_shape(self) -> Any:
        """The shape of its output, or a structure of shapes."""
        return _shapes(self.outputs)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What it tried and was refused, so far."""
        return tuple(self._process.attempts)

    @property
    def printed(self) -> str:
        """The end of what it and its libraries printed; escaped."""
        return self._process.printed

    @property
    def versions(self) -> dict[str, str]:
        """Which Keras and which backend computes, by name."""
        return dict(self._process.versions)

    @property
    def abi(self) -> int:
        """The version of Landlock that holds it."""
        return self._process.abi

    def predict(self, x: Any, batch_size: int | None = None) -> Any:
        """What the model says of ``x``.

        Args:
            x: an array, or a list, tuple or dict of arrays, of numbers or text; whatever
                ``numpy.asarray`` takes is one.
            batch_size: as of Keras.

        Returns:
            NumPy arrays, in the structure that the model gives.

        Raises:
            TypeError: ``x`` has objects that are neither numbers nor text.
            InputContractError: the model's input contract does not allow ``x``; it did not run.
            SandboxViolationError: the model tried what is forbidden.
            SandboxLimitError: it took too long, or too much.
            SandboxedModelError: it raised, or its process has ended.
        """
        options = {} if batch_size is None else {"batch_size": int(batch_size)}
        return self._run("predict", x, options)

    def predict_on_batch(self, x: Any) -> Any:
        """:meth:`predict` of one batch; raises as that."""
        return self._run("predict_on_batch", x, {})

    def summary(
        self, line_length: int = 80, print_fn: Callable[[str], object] | None = None
    ) -> None:
        """Print what ``summary`` of the model prints, escaped; raises as :meth:`predict`.

        Args:
            print_fn: called with each line; ``print`` by default.
        """
        question = {"ask": "summary", "columns": min(max(int(line_length), 40), 400)}
        answer = self._process.ask(question)
        text = answer.arrays[0].tobytes().decode(errors="replace") if answer.arrays else ""
        for line in text.split("\n"):
            (print_fn or print)(printable(line))

    def close(self) -> None:
        """End the process; calling it again does nothing."""
        self._process.close()

    def __repr__(self) -> str:
        return f"<SandboxedModel {self.name!r} of {self.path!r}>"

    def _run(self, how: str, x: Any, options: dict[str, Any]) -> Any:
        if self.contract is not None and "predict" in self.contract.at:
            from keras_integrity_hook.hooks.inputs.watch import Watch

            Watch(self.contract).check(x)
        given: list[Any] = []
        structure = structures.packed(x, lambda each: _kept(given, each))
        answer = self._process.run(how, structure, given, options)
        try:
            return structures.unpacked(answer.value["outputs"], lambda at: _at(answer.arrays, at))
        except (BrokenChannelError, KeyError) as error:
            self.close()
            cause = f"the answer of the sandbox is malformed ({error})"
            raise SandboxedModelError(cause, path=self.path) from error


def _kept(given: list[Any], value: Any) -> int:
    given.append(arrays.plain(value))
    return len(given) - 1


def _at(found: list[Any], number: Any) -> Any:
    if type(number) is not int or not 0 <= number < len(found):
        raise BrokenChannelError("no array of that number")
    return found[number]


def _tensors(said: Any) -> Any:
    return None if said is None else structures.unpacked(said, _tensor)


def _tensor(said: Any) -> Tensor:
    if not isinstance(said, dict):
        raise BrokenChannelError("no tensor")
    name, dtype = (printable(str(said.get(key, "")))[:200] for key in ("name", "dtype"))
    return Tensor(name, dtype, structures.as_shape(said.get("shape")))


def _shapes(tensors: Any) -> Any:
    """The shapes in place of the tensors."""
    if isinstance(tensors, Tensor) or tensors is None:
        return None if tensors is None else tensors.shape
    if isinstance(tensors, dict):
        return {name: _shapes(each) for name, each in tensors.items()}
    return type(tensors)(_shapes(each) for each in tensors)
