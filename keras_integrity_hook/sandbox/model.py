# SPDX-License-Identifier: Apache-2.0
"""Models in sandboxes: each in a confined process of its own, asked as one of Keras's is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from keras_integrity_hook.contracts.attached import Attached
from keras_integrity_hook.errors import SandboxedModelError
from keras_integrity_hook.isolation import arrays, structures
from keras_integrity_hook.isolation.attempts import Attempt
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.protocol import BrokenChannelError
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.loading import contracted
from keras_integrity_hook.sandbox import opening
from keras_integrity_hook.texts import printable

Attempted = Literal["refuse", "tell"]


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


class SandboxedModel:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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


class Sandbox:
    """A sandbox that is warm: a process waits with Keras imported, and takes the next model.

    Each model gets a process of its own, so that none can tell another what to say; when one is
    taken, the next is started.

    Args:
        limits: how much each model may take.
        host: the package that loads: ``"keras"``, ``"tf_keras"``, or ``"tensorflow"`` for
            SavedModels.
        devices: nodes in /dev that models may use, e.g. ``["/dev/nvidia0", "/dev/nvidiactl",
            "/dev/nvidia-uvm"]``; their drivers are then part of what has to be trusted.
        modules: names of the user's own, that models may import, for their custom objects.
        on_attempt: what becomes of a model that tries what is forbidden and goes on all the same:
            ``"refuse"`` it, or ``"tell"`` in :attr:`SandboxedModel.attempts`.

    Raises:
        SandboxUnavailableError: no process can be confined here.
    """

    def __init__(
        self,
        *,
        limits: SandboxLimits | None = None,
        host: str = "keras",
        devices: Iterable[str] = (),
        modules: Iterable[str] = (),
        on_attempt: Attempted = "refuse",
        _abi: int | None = None,
        _is_warm: bool = True,
    ) -> None:
        if host not in ("keras", "tf_keras", "tensorflow"):
            raise ValueError(f"no host: {host!r}")
        if on_attempt not in ("refuse", "tell"):
            raise ValueError(f"on_attempt is 'refuse' or 'tell', not {on_attempt!r}")
        self._limits = limits or SandboxLimits()
        self._host = host
        self._devices = tuple(devices)
        self._modules = tuple(modules)
        self._is_strict = on_attempt == "refuse"
        self._abi = _abi
        self._is_warm = _is_warm
        self._waiting: ConfinedProcess | None = self._started()

    def wait_until_ready(self) -> None:
        """Return once a process waits with Keras imported.

        Raises:
            SandboxUnavailableError: Keras cannot be imported there.
            SandboxLimitError: that took longer than ``start_seconds``.
        """
        if self._waiting is None:
            self._waiting = self._started()
        self._waiting.wait_until_ready()

    def load_model(
        self, path: str | os.PathLike[str], *, is_last: bool = False, **options: Any
    ) -> SandboxedModel:
        """Load the model at ``path`` into the process that waits; see :func:`load_model`.

        Args:
            is_last: start no other process afterwards.
        """
        name = os.fsdecode(path)
        objects = options.pop("custom_objects", None)
        options |= {"custom_objects": _named(objects)} if objects else {}
        with contracted.collected() as contracts:
            files = opening.verified(name)
        try:
            process, self._waiting = self._waiting or self._started(), None
            try:
                model = self._loaded(process, name, files, options)
            except BaseException:
                process.close()
                raise
        finally:
            files.close()
        if not is_last:
            self._waiting = self._started()
        model.contract = contracts[-1] if contracts else None
        return model

    def close(self) -> None:
        """End the process that waits; models that were loaded stay open."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _started(self) -> ConfinedProcess:
        return ConfinedProcess(
            self._limits,
            host=self._host,
            devices=self._devices,
            modules=self._modules,
            is_warm=self._is_warm,
            abi=self._abi,
        )

    def _loaded(
        self, process: ConfinedProcess, name: str, files: Any, options: dict[str, Any]
    ) -> SandboxedModel:
        process.path = name
        process.is_strict = self._is_strict
        return SandboxedModel(process, name, process.load(files, options).value)


def load_model(  # noqa: PLR0913
    path: str | os.PathLike[str],
    *,
    limits: SandboxLimits | None = None,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
    host: str | None = None,
    devices: Iterable[str] = (),
    on_attempt: Attempted = "refuse",
) -> SandboxedModel:
    """Load a model into a confined process; its code, if it has any, runs there and nowhere else.

    The seal of the model and the policy count as in any load. What an inspection would refuse is
    loaded: that is what a sandbox is for.

    Args:
        path: a ``.keras`` or HDF5 file, or the directory of a model of Keras or a SavedModel.
        limits: how much it may take.
        custom_objects: classes and functions of importable modules, by name. They are imported in
            the sandbox, which may read those modules.
        compile, safe_mode: as of ``keras.models.load_model``.
        host: the package that loads: ``"keras"``, ``"tf_keras"``, or ``"tensorflow"``; by default
            the last for a SavedModel and Keras for everything else.
        devices, on_attempt: see :class:`Sandbox`.

    Raises:
        SandboxUnavailableError: no process can be confined here; nothing was loaded.
        SandboxViolationError: the model tried what is forbidden, and was refused.
        SandboxLimitError: it took too long, or too much.
        SandboxedModelError: it cannot be loaded, or its process ended.
        IntegrityError: its other kinds, as in any load.
        ValueError: a custom object is not importable.

    Example:
        >>> from keras_integrity_hook import sandbox
        >>> with sandbox.load_model("model.keras", safe_mode=False) as model:  # doctest: +SKIP
        ...     model.predict(inputs)
    """
    name = os.fsdecode(path)
    host = host or _host_of(name)
    options: dict[str, Any] = {}
    if host != "tensorflow":
        options = {"compile": bool(compile), "safe_mode": bool(safe_mode)}
    modules = {each.__module__ for each in (custom_objects or {}).values()}
    sandbox = Sandbox(
        limits=limits,
        host=host,
        devices=devices,
        modules=modules,
        on_attempt=on_attempt,
        _is_warm=False,
    )
    with sandbox:
        if custom_objects:
            options["custom_objects"] = custom_objects
        return sandbox.load_model(name, is_last=True, **options)


def _host_of(path: str) -> str:
    from keras_integrity_hook.containers import recognition
    from keras_integrity_hook.containers.kinds import SAVED_MODEL

    place = recognition.recognise(path)
    return "tensorflow" if place is not None and place.kind is SAVED_MODEL else "keras"


def _named(objects: Mapping[str, Any]) -> dict[str, str]:
    """Custom objects by the names that they are imported by. Raises ValueError."""
    names = {}
    for key, each in objects.items():
        module, inside = getattr(each, "__module__", ""), getattr(each, "__qualname__", "")
        if not module or module == "__main__" or not inside or "<" in inside:
            raise ValueError(
                f"{each!r} cannot be imported in a sandbox: define it at the top of a module "
                "that is not the program itself"
            )
        names[key] = f"{module}:{inside}"
    return names


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
