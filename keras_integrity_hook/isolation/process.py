# SPDX-License-Identifier: Apache-2.0
"""A confined process, from its start to its end, as the parent sees it.

One thread does everything: whoever asks a question answers meanwhile what the kernel asks, drains
what is printed, and looks at the clock. Between questions the process stands still (``SIGSTOP``),
so that nothing it left running gets anywhere.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_integrity_hook.errors import (
    IntegrityError,
    SandboxedModelError,
    SandboxLimitError,
    SandboxUnavailableError,
    SandboxViolationError,
)
from keras_integrity_hook.isolation import (
    answers,
    arrays,
    availability,
    failures,
    home,
    reachable,
    starting,
    stopping,
)
from keras_integrity_hook.isolation.answers import Answer
from keras_integrity_hook.isolation.attempts import Attempts, Source
from keras_integrity_hook.isolation.model_bytes import ModelFiles
from keras_integrity_hook.isolation.printed import Printed
from keras_integrity_hook.isolation.protocol import BrokenChannelError, Channel, Message, close_all
from keras_integrity_hook.isolation.sandbox_limits import SandboxLimits
from keras_integrity_hook.isolation.supervisor import Supervisor
from keras_integrity_hook.isolation.usage import Usage

if TYPE_CHECKING:
    from keras_integrity_hook.isolation.arrays import Array
else:  # for those who look annotations up at run time
    Array = object

_TICK = 0.1  # seconds between two looks at what the kernel does not count
_FILES_AT_ONCE = 200


class ConfinedProcess:
    """A Python that has locked itself down and imports Keras.

    Attributes:
        attempts: what it tried and was refused, so far.
        printed: the end of what it printed; printable, with line breaks.
        versions: of Keras and its backend there, once it is ready.
        abi: the version of Landlock that holds it, once it is ready.
        is_strict: an attempt is an error even where the model goes on.
        path: what errors call the model.

    Args:
        host: ``"keras"``, ``"tf_keras"`` or ``"tensorflow"``.
        devices: nodes in /dev that it may use.
        modules: of the user's, that it may import besides.
        is_warm: it waits for its model: there is time to do what is done once in a process.
        abi: at most this version of Landlock, for tests of what older kernels do.

    Raises:
        SandboxUnavailableError: it cannot be confined here; nothing was started.
    """

    def __init__(  # noqa: PLR0913
        self,
        limits: SandboxLimits | None = None,
        *,
        host: str = "keras",
        devices: Iterable[str] = (),
        modules: Iterable[str] = (),
        is_warm: bool = False,
        abi: int | None = None,
    ) -> None:
        availability.require()
        self.limits = limits or SandboxLimits()
        self.attempts = Attempts()
        self.versions: dict[str, str] = {}
        self.abi = 0
        self.path: str | None = None
        self.is_strict = True
        self._host = host
        self._reachable = reachable.reachable(devices=devices, modules=modules)
        self._supervisor: Supervisor | None = None
        self._printed = Printed()
        self._is_ready = False
        with contextlib.ExitStack() as undo:
            self._home = home.PrivateHome()
            undo.callback(self._home.remove)
            ours, theirs = Channel.pair()
            undo.callback(ours.close)
            self._channel = ours
            try:
                started = starting.start(theirs, self._home, self._reachable)
            finally:
                theirs.close()
            self._child, self._output, self._memory = started
            undo.callback(self._end)
            self._usage = Usage(self._child.pid, self._home, self.limits)
            self._set_up(abi, is_warm=is_warm)
            undo.pop_all()
        # Collected, or at the end of the program: the same, whoever forgot to close it.
        self._finalizer = weakref.finalize(
            self, stopping.forget, os.getpid(), self._child, self._channel, self._home
        )

    def _set_up(self, abi: int | None, *, is_warm: bool) -> None:
        message = starting.setup(
            self._child.pid,
            self._home,
            self._reachable,
            self.limits,
            host=self._host,
            abi=abi,
            is_warm=is_warm,
        )
        try:
            self._channel.send(message)
        except BrokenChannelError as error:
            raise SandboxUnavailableError(f"the process ended at once ({error})") from error

    def wait_until_ready(self) -> None:
        """Return once Keras is imported there; calling it again does nothing.

        Raises:
            SandboxUnavailableError: it could not be locked down, or Keras not imported there.
            SandboxLimitError: that took too long.
        """
        if self._is_ready:
            return
        deadline = time.monotonic() + self.limits.start_seconds
        try:
            self.abi = int(self._next(("locked",), deadline, "start_seconds")[0]["abi"])
            self.versions = self._next(("ready",), deadline, "start_seconds")[0]["versions"]
        except SandboxedModelError as error:
            raise failures.no_start(self._printed.last_line, error.cause) from error
        self._is_ready = True

    def load(self, model: ModelFiles, options: Message) -> Answer:
        """Load a model, once in the life of a process.

        Args:
            options: keyword arguments of ``load_model``, as JSON-able values.

        Raises:
            SandboxUnavailableError, SandboxLimitError: as of :meth:`wait_until_ready`.
            SandboxViolationError, SandboxLimitError, SandboxedModelError: of the model.
        """
        self.wait_until_ready()
        names = list(model.files)
        for at in range(0, len(names), _FILES_AT_ONCE):
            some = names[at : at + _FILES_AT_ONCE]
            self.ask({"ask": "files", "names": some}, [model.files[name] for name in some])
        _, self._usage.laid_out = self._home.usage()
        self._watch()
        return self.ask({"ask": "load", "name": model.name, "options": options})

    def run(self, how: str, inputs: Any, given: Sequence[Array], options: Message) -> Answer:
        """Ask the model.

        Args:
            how: ``"predict"`` or ``"predict_on_batch"``.
            inputs: their structure, see ``structures``.
            given: the arrays, see ``arrays.plain``.
        """
        packed = arrays.Packed(given)
        with answers.shared(packed.size) as fd:
            packed.write(arrays.write_to(fd))
            answers.keep_bytes(fd)
            message = {"ask": "run", "how": how, "inputs": inputs, "options": options}
            return self.ask({**message, "arrays": packed.names, "bytes": packed.size}, [fd])

    def ask(self, question: Message, descriptors: Sequence[int] = ()) -> Answer:
        """One question, one answer.

        Raises:
            SandboxViolationError: it failed, and had tried what is forbidden.
            SandboxLimitError: it took too much; the process is ended.
            SandboxedModelError: it failed otherwise, or is ended.
        """
        with self._going():
            deadline = time.monotonic() + self.limits.seconds
            known = len(self.attempts)
            self._send(question, descriptors)
            answer = self._answer(deadline)
            self._drain()
            if self.is_strict and len(self.attempts) > known:
                raise self._violation("it went on all the same")
            return answer

    @contextlib.contextmanager
    def _going(self) -> Iterator[None]:
        """Let the process go on in this block; it is ended where that fails for its own fault."""
        if self._child.returncode is not None:
            raise SandboxedModelError("the process of this model has ended", path=self.path)
        self._channel.wait_at_most(self.limits.seconds)
        self._child.send_signal(signal.SIGCONT)
        try:
            yield
        except SandboxedModelError as error:
            raise self._told(error) from error.__cause__
        except BaseException:
            self.close()
            raise
        finally:
            if self._child.returncode is None:
                stopping.stand_still(self._child)

    def close(self) -> None:
        """End the process and remove its directory; calling it again does nothing."""
        self._end()
        self._channel.close()
        self._home.remove()
        self._finalizer.detach()

    @property
    def printed(self) -> str:
        """The end of what it printed."""
        return self._printed.text

    def _end(self) -> None:
        if self._child.returncode is None:
            self._child.kill()
            self._child.wait()
        if self._supervisor is not None:
            self._supervisor.close()
        for fd in (self._output, self._memory):
            if fd >= 0:
                os.close(fd)
        self._output = self._memory = -1

    def _watch(self) -> None:
        """From here on the kernel asks about what is refused."""
        with self._going():
            self._send({"ask": "watch"})
            deadline = time.monotonic() + self.limits.start_seconds
            _, (listener,) = self._next(("watched",), deadline, "start_seconds", descriptors=1)
            self._supervisor = Supervisor(
                listener,
                self._memory,
                self._reachable.of(self._child.pid),
                self._home.path,
                self.attempts,
            )
            self._send({"kind": "go"})

    def _send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        try:
            self._channel.send(message, descriptors)
        except BrokenChannelError as error:
            raise self._ended() from error

    def _answer(self, deadline: float) -> Answer:
        room = -1
        try:
            while True:
                message, _ = self._next(("room", "answer", "failed"), deadline, "seconds")
                if message["kind"] == "room" and room < 0:
                    room = self._room(message.get("bytes"))
                elif message["kind"] == "answer":
                    return answers.checked(message, room)
                else:
                    raise self._failed(message)
        except (BrokenChannelError, KeyError, TypeError, ValueError) as error:
            self._end()
            cause = f"the answer of the sandbox is malformed ({error})"
            raise SandboxedModelError(cause, path=self.path) from error
        finally:
            if room >= 0:
                os.close(room)

    def _room(self, size: Any) -> int:
        """Shared memory for an answer of ``size`` bytes. Raises SandboxLimitError."""
        if type(size) is not int or size <= 0:
            raise BrokenChannelError("no size")
        if size > self.limits.answer:
            raise self._limit("answer", f"an answer of {size:,} bytes")
        with answers.shared(size) as fd:
            answers.keep_size(fd)
            self._send({"kind": "room"}, [fd])
            return os.dup(fd)

    def _next(
        self, kinds: Sequence[str], deadline: float, limit: str, *, descriptors: int = 0
    ) -> tuple[Message, list[int]]:
        """The next message of one of ``kinds``, after whatever comes before it."""
        while True:
            self._wait(deadline, limit)
            try:
                message, taken = self._channel.receive(descriptors)
            except BrokenChannelError as error:
                raise self._ended() from error
            kind = message.get("kind")
            if kind == "tried":
                call, target = message.get("call"), message.get("target")
                if isinstance(call, str) and isinstance(target, str):
                    self.attempts.note(call, target, Source.PYTHON)
            elif kind in kinds and len(taken) == descriptors:
                return message, taken
            else:
                close_all(taken)
                raise self._ended("it does not keep to the protocol")

    def _wait(self, deadline: float, limit: str) -> None:
        """Return when there is something to receive. Raises SandboxLimitError."""
        poll = select.poll()
        for fd in (self._channel.fileno(), self._output):
            poll.register(fd, select.POLLIN)
        if self._supervisor is not None:
            poll.register(self._supervisor.listener, select.POLLIN)
        while True:
            events = dict(poll.poll(_TICK * 1000))
            if events.get(self._output) and not self._drain():
                poll.unregister(self._output)
            if self._supervisor is not None and self._supervisor.listener in events:
                if events[self._supervisor.listener] & select.POLLIN:
                    self._supervisor.answer()
                else:
                    poll.unregister(self._supervisor.listener)
            # Whoever sends without an end would otherwise never be looked at.
            if time.monotonic() > deadline:
                raise self._limit(limit, f"more than {getattr(self.limits, limit):g} seconds")
            over = self._usage.over()
            if over is not None:
                raise self._limit(*over)
            if self._channel.fileno() in events:
                return

    def _drain(self) -> bool:
        """Take what was printed, and keep the end of it; False where nothing more will come."""
        is_open = self._printed.take(self._output, self.limits.output)
        if self._printed.size > self.limits.output:
            raise self._limit("output", f"more than {self.limits.output:,} bytes of output")
        return is_open

    def _limit(self, limit: str, what: str) -> SandboxLimitError:
        """End the process: it took ``what``."""
        self._end()
        return failures.over_limit(limit, what, self.path)

    def _out_of_memory(self) -> SandboxLimitError:
        return self._limit("memory", f"more than {self.limits.memory:,} bytes of memory")

    def _failed(self, message: Message) -> IntegrityError:
        """What an error in there is out here."""
        name, text = message["error"], message["text"]
        if not (isinstance(name, str) and isinstance(text, str)):
            raise BrokenChannelError("no error")
        return self._out_of_memory() if name == "MemoryError" else failures.of_model(name, text)

    def _ended(self, why: str = "") -> IntegrityError:
        """What became of a process that says nothing any more."""
        if not why:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(5)
        with contextlib.suppress(SandboxLimitError, OSError):
            self._drain()
        status = self._child.returncode
        self._end()
        if status == -signal.SIGSYS:
            self.attempts.note("a call by another architecture's numbers", "", Source.KERNEL)
        if status == -signal.SIGXCPU:
            return self._limit("cpu_seconds", f"more than {self.limits.cpu_seconds} seconds of CPU")
        if status and self._printed.tells_of_no_memory:
            return self._out_of_memory()
        return failures.of_process(why or failures.in_words(status), self.path)

    def _told(self, error: SandboxedModelError) -> IntegrityError:
        """``error`` as what it is after an attempt at something forbidden."""
        error.path = error.path or self.path
        return self._violation(f"then {error.cause}") if len(self.attempts) else error

    def _violation(self, then: str) -> SandboxViolationError:
        return failures.violation(self.attempts, then, self.path)
