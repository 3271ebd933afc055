# SPDX-License-Identifier: Apache-2.0
"""Connections to a service are kept, ended and inherited without anybody noticing."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from keras_integrity_hook.errors import RegistryUnavailableError
from keras_integrity_hook.registry.client.web import Web

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Ends a connection after so many answers.

    Attributes:
        connections: how many there were.
    """

    def __init__(self, listening: socket.socket, answers: int) -> None:
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self.connections = 0
        self._listening, self._answers = listening, answers

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            for _ in range(self._answers):
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    part = connection.recv(4096)
                    if not part:
                        return
                    asked += part
                connection.sendall(ANSWER)


@contextlib.contextmanager
def serving(answers: int) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(listening, answers)
        threading.Thread(target=server.serve, daemon=True).start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)


def test_a_connection_is_used_for_one_question_after_the_other() -> None:
    with serving(100) as server:
        assert {Web(server.url, 5).read("x", 100) for _ in range(10)} == {b"ok"}
        assert server.connections == 1


def test_a_connection_that_the_server_has_ended_is_replaced() -> None:
    with serving(2) as server:
        assert {Web(server.url, 5).read("x", 100) for _ in range(7)} == {b"ok"}
        assert server.connections == 4


def test_a_forked_process_has_a_connection_of_its_own_and_leaves_that_of_its_parent() -> None:
    with serving(100) as server:
        web = Web(server.url, 5)
        assert web.read("x", 100) == b"ok"
        child = os.fork()
        if child == 0:
            os._exit(0 if web.read("x", 100) == b"ok" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert web.read("x", 100) == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("limit", [1, 2])
def test_a_connection_on_which_something_is_left_is_not_used_again(limit: int) -> None:
    """What one question left unread would be taken for the answer to the next."""
    with serving(100) as server:
        for _ in range(3):
            with contextlib.suppress(Exception):
                Web(server.url, 5).read("x", limit - 1)
            assert Web(server.url, 5).read("x", 2) == b"ok"


def test_a_proxy_that_sends_its_answer_letter_by_letter_keeps_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def drip() -> None:
            connection, _ = proxy.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 ")
                while not end.wait(0.05):
                    connection.sendall(b"a")

        threading.Thread(target=drip, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        asking = threading.Thread(target=_read_in_vain, args=("https://example.com",), daemon=True)
        asking.start()
        asking.join(100)
        assert not asking.is_alive()
        end.set()


def _read_in_vain(url: str) -> None:
    with contextlib.suppress(RegistryUnavailableError):
        Web(url, 0.3).read("x", 100)
