# SPDX-License-Identifier: Apache-2.0
"""Pickles, programs and libraries among the files of a model: code that somebody may run.

Keras reads no pickle. A layer of somebody's own may (``load_assets``), and what stands beside a
model is run by people. A file is told by its first bytes where it has any that tell, and followed
as the unpickler would: a vocabulary whose first words are "cat" and "dog" begins as a pickle does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keras_integrity_hook.inspection.findings import Finding
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

_SUFFIXES = (".pkl", ".pickle", ".pck", ".dill", ".joblib", ".pt", ".pth")
_CODE_SUFFIXES = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1")
_PROGRAMS = {
    b"\x7fELF": "a program or library for Linux",
    b"\xcf\xfa\xed\xfe": "a program or library for macOS",
    b"\xca\xfe\xba\xbe": "a program or library for macOS, or of Java",
    b"#!": "a script",
}
_BINARY = re.compile(rb"\x80[\x02-\x05]")
_TEXT = re.compile(rb"[()\]}dlpq\d\x00-\x1f]*[ci][\w.]+\n[\w.]+\n")
_CALLS = {"REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}


def inspect(content: Content, name: str) -> Iterator[Finding]:
    """Findings about a file, member or part of a format that no other inspector knows."""
    head = content.read(0, min(1024, content.size))
    folded = name.casefold()
    if folded.endswith(_SUFFIXES) or _is_pickle(content, head):
        yield found("pickle", name, "", "a pickle")
        return
    kind = next((text for magic, text in _PROGRAMS.items() if head.startswith(magic)), "")
    if head.startswith(b"MZ") and b"PE\0\0" in head:
        kind = "a program or library for Windows"
    if not kind and folded.endswith(_CODE_SUFFIXES):
        kind = f"a file called *{folded[folded.rindex('.') :]}"
    if kind:
        yield found("program", name, "", kind)


def _is_pickle(content: Content, head: bytes) -> bool:
    is_text = _TEXT.match(head) is not None
    if not is_text and _BINARY.match(head) is None:
        return False
    data = content.read(0, min(LIMITS.pickle, content.size))
    names = _opcodes(data)
    is_whole = bool(names) and names[-1] == "STOP"
    if is_text:  # opcodes are letters: text has to be a whole pickle that calls something
        return is_whole and bool(_CALLS.intersection(names))
    return is_whole or len(names) > 8 or len(data) < content.size


def _opcodes(data: bytes) -> list[str]:
    """The names of the opcodes that ``data`` begins with, as far as it makes sense."""
    import pickletools

    names: list[str] = []
    try:
        for opcode, _, _ in pickletools.genops(data):
            names.append(opcode.name)
            if len(names) >= LIMITS.pickle_opcodes:
                break
    except (ValueError, IndexError, UnicodeError, OverflowError, MemoryError):
        pass
    return names
