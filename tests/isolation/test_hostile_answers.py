# SPDX-License-Identifier: Apache-2.0
"""Answers that attack the parent: each is one typed error, and the process is gone afterwards."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from keras_integrity_hook.errors import SandboxedModelError, SandboxLimitError
from keras_integrity_hook.isolation import starting
from tests.support.confined import bare, needs_sandbox
from tests.support.descriptors import opened, opened_since

pytestmark = needs_sandbox

ANSWER = '{"kind": "answer", "value": {}, "arrays": [], "bytes": 0}'


def npy(header: str) -> bytes:
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Marker:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("pwned",)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Marker()], dtype=object), allow_pickle=True)
    return stream.getvalue()


ATTACKS = {
    "nothing": "end.close()",
    "death": "os._exit(3)",
    "a kill": "os.kill(os.getpid(), 9)",
    "no JSON": "say(b'\\xff\\xfe')",
    "no object": "say([1])",
    "a deep one": "say(b'[' * 100_000)",
    "a number without end": "say(b'{\"kind\": ' + b'9' * 100_000 + b'}')",
    "an unknown kind": "say({'kind': 'pickle'})",
    "a kind that is no text": "say({'kind': {}})",
    "another one's turn": "say({'kind': 'ready', 'versions': {}})",
    "no value": "say({'kind': 'answer'})",
    "a value that is a list": f"say({ANSWER.replace('{}', '[]')})",
    "arrays without room": f"say({ANSWER.replace('[]', str(['']))})",
    "names that are numbers": f"say({ANSWER.replace('[]', '[1]')})",
    "too many arrays": f"say(dict({ANSWER}, arrays=[''] * 9000))",
    "a size that is none": f"say(dict({ANSWER}, bytes='all'))",
    "room of no size": "say({'kind': 'room', 'bytes': -1})",
    "room of a text": "say({'kind': 'room', 'bytes': '64'})",
    "room twice": "say({'kind': 'room', 'bytes': 64}); hear(); say({'kind': 'room', 'bytes': 64})",
    "descriptors": f"say({ANSWER.replace('answer', 'failed')}, 0, 1, 2)",
    "an error that is none": "say({'kind': 'failed', 'error': 1, 'text': []})",
    "objects": f"answer_with({pickled()!r}, [''])",
    "no header": "answer_with(b'x' * 64, [''])",
    "a shape without end": "answer_with({!r}, [''], 1 << 60)".format(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,), }")
    ),
    "a shape below zero": "answer_with({!r}, [''])".format(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }")
    ),
    "elements of no size": "answer_with({!r}, [''])".format(
        npy("{'descr': '|S0', 'fortran_order': False, 'shape': (1152921504606846976,), }")
    ),
    "structures": "answer_with({!r}, [''])".format(
        npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (), }")
    ),
    "a header that is code": "answer_with({!r}, [''])".format(
        npy("__import__('os').mkdir('pwned')")
    ),
    "a header of brackets": "answer_with({!r}, [''])".format(npy("(" * 900)),
    "a type of another library": "answer_with({!r}, ['load'])".format(
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }") + bytes(64)
    ),
}


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = Path(__file__).with_name("hostile_child.py")
    monkeypatch.setattr(starting, "_PROGRAM", str(program))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("name", ATTACKS)
def test_answers_that_attack_are_one_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(SandboxedModelError), bare(ATTACKS[name], seconds=30):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("hostile")
def test_an_answer_above_the_limit_is_not_made_room_for() -> None:
    code = "say({'kind': 'room', 'bytes': 1 << 50})"
    with pytest.raises(SandboxLimitError) as caught, bare(code):
        pass
    assert caught.value.limit == "answer"


@pytest.mark.usefixtures("hostile")
def test_silence_ends_by_the_clock() -> None:
    with pytest.raises(SandboxLimitError) as caught, bare("hear()", seconds=0.3):
        pass
    assert caught.value.limit == "seconds"


@pytest.mark.usefixtures("hostile")
def test_messages_without_an_end_do_not_stop_the_clock() -> None:
    code = """
        import time
        stop = time.monotonic() + 20
        while time.monotonic() < stop:
            say({'kind': 'tried', 'call': 'open', 'target': ''})
    """
    with pytest.raises(SandboxLimitError) as caught, bare(code, seconds=0.5):
        pass
    assert caught.value.limit == "seconds"


@pytest.mark.usefixtures("hostile")
def test_messages_without_an_end_hide_no_files() -> None:
    code = """
        import time
        open('big', 'wb').write(bytes(4 << 20))
        stop = time.monotonic() + 20
        while time.monotonic() < stop:
            say({'kind': 'tried', 'call': 'open', 'target': ''})
    """
    with pytest.raises(SandboxLimitError) as caught, bare(code, disk=1 << 20, seconds=100):
        pass
    assert caught.value.limit == "disk"


@pytest.mark.usefixtures("hostile")
def test_descriptors_that_are_sent_uninvited_do_not_arrive() -> None:
    before = opened()
    code = f"say({ANSWER}, *[os.open('/dev/null', os.O_RDONLY) for _ in range(100)])"
    with bare(code):
        pass
    assert not opened_since(before)


@pytest.mark.usefixtures("hostile")
def test_what_it_says_it_tried_is_bounded_and_escaped() -> None:
    code = f"""
        for number in range(2000):
            say({{'kind': 'tried', 'call': 'a\\x1b[2J' + str(number), 'target': 'x' * 9000}})
        say({ANSWER})
    """
    with bare(code) as process:
        told = list(process.attempts)
    assert len(told) == 500
    assert all(len(each.target) <= 400 and each.call.isprintable() for each in told)
