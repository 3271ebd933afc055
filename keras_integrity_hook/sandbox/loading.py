# SPDX-License-Identifier: Apache-2.0
"""Loading models into sandboxes: one at once, or each into the process that waits for the next."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from keras_integrity_hook.files.closing import Closing
from keras_integrity_hook.isolation import hosts
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.process import ConfinedProcess
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.loading import contracted
from keras_integrity_hook.sandbox import opening
from keras_integrity_hook.sandbox.model import SandboxedModel

Attempted = Literal["refuse", "tell"]


class Sandbox(Closing):
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
        if host not in hosts.HOSTS:
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
        self, process: ConfinedProcess, name: str, files: ModelFiles, options: dict[str, Any]
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

    place = recognition.recognise(path)
    return (place is not None and hosts.host_of(place.kind.container)) or "keras"


def _named(objects: Mapping[str, Any]) -> dict[str, str]:
    """Custom objects by the names that they are imported by. Raises ValueError."""
    names = {}
    for key, each in objects.items():
        names[key] = hosts.importable_name(each)
        if not names[key]:
            raise ValueError(
                f"{each!r} cannot be imported in a sandbox: define it at the top of a module "
                "that is not the program itself"
            )
    return names
