# SPDX-License-Identifier: Apache-2.0
"""An open model, inspected: every file, member and part of it by the inspectors of its kind.

An inspector is a function ``(content, name) -> Iterable[Finding]``: the bytes of one piece, and
what that is called. It reads what it needs and no more, within ``limits``; what it cannot read is a
finding, never silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from keras_integrity_hook.containers.model_file import ModelFile
from keras_integrity_hook.inspection import checks
from keras_integrity_hook.inspection.findings import Finding, Verdict, worst
from keras_integrity_hook.inspection.kept_reads import KeptReads
from keras_integrity_hook.inspection.pieces import Piece, Pieces
from keras_integrity_hook.inspection.rules import found
from keras_integrity_hook.limits import LIMITS
from keras_integrity_hook.sealing.content import Content

Inspector = Callable[[Content, str], Iterable[Finding]]


class Inspection(NamedTuple):
    """What was found in one model.

    Attributes:
        findings: in the order in which they were found, without repetition.
        read: bytes of the model that were read for it.
        kept: what of each file was read, and is served from memory from here on; by the name of the
            file, the empty one for a single file.
    """

    findings: tuple[Finding, ...]
    read: int
    kept: dict[str, KeptReads]

    @property
    def verdict(self) -> Verdict:
        """The worst of the findings; no setting has been asked."""
        return worst(self.findings)


def inspect(model: ModelFile, content: Content | None = None) -> Inspection:
    """Inspect ``model``, which is open and stays so.

    Args:
        content: of a single file, where that is to be read in another way than ``model.content``:
            checked against its seal as it is read.

    Raises:
        DamagedFileError: a file became shorter meanwhile.
        LimitExceededError: more would have to be read than any model of Keras needs.
        IntegrityError: whatever else reading its parts raises.
    """
    pieces = Pieces(model, content)
    findings: dict[Finding, None] = {}
    if model.files is None:
        from keras_integrity_hook.inspection import two_formats

        whole, name = pieces.kept[""], os.path.basename(model.path)
        findings.update(dict.fromkeys(two_formats.inspect(whole, name)))
    for piece in pieces.walk():
        for inspector in inspectors_of(piece, pieces):
            findings.update(dict.fromkeys(_listed(inspector(piece.content, piece.name), piece)))
    for kept in pieces.kept.values():
        kept.stop_keeping()
    # After that: a check may read all of the weights, which are too much to be kept.
    findings.update(dict.fromkeys(checks.findings(model.path, model.container, pieces.by_name)))
    return Inspection(tuple(findings), pieces.read, pieces.kept)


def _listed(findings: Iterable[Finding], piece: Piece) -> Iterator[Finding]:
    """As many as are listed of one piece; what follows could be worse, so it is not passed over."""
    for count, finding in enumerate(findings):
        if count == LIMITS.inspected_findings:
            yield found("too-large", piece.name, "", f"more than {count} findings")
            return
        yield finding


def inspectors_of(piece: Piece, pieces: Pieces) -> Iterator[Inspector]:
    """What looks at ``piece``: by its first bytes where those tell, else by its name."""
    name = piece.name.casefold()
    yield _by_format(piece, name, pieces)
    if piece.is_hdf5 or name.endswith((".h5", ".hdf5")):
        from keras_integrity_hook.inspection import hdf5_config

        yield hdf5_config.inspect
    elif name.rpartition("/")[2] == "keras_metadata.pb":
        from keras_integrity_hook.inspection import keras_metadata

        yield keras_metadata.inspect
    elif _is_config(name, piece.head):
        from keras_integrity_hook.inspection import config

        yield partial(config.inspect, stored=pieces.size)


def _is_config(name: str, head: bytes) -> bool:
    """Whether Keras or KerasHub reads it as JSON; what lies below ``assets`` is a layer's own."""
    is_asset = name.startswith("assets/") or "/assets/" in name
    return not is_asset and (name.endswith(".json") or head.lstrip()[:1] == b"{")


def _by_format(piece: Piece, name: str, pieces: Pieces) -> Inspector:
    """What looks at the bytes of ``piece``, whatever is done with it; ``name`` is case-folded."""
    if piece.is_hdf5 or name.endswith((".h5", ".hdf5")):
        from keras_integrity_hook.inspection import hdf5_weights

        return hdf5_weights.inspect
    from keras_integrity_hook.inspection import archives, pickles

    if name.endswith(".npz"):
        return archives.inspect_arrays
    if piece.head.startswith(b"\x93NUMPY"):
        return archives.inspect_array
    if piece.is_archive:
        return partial(archives.inspect, members=piece.members)
    return _of_tensorflow(piece, name, pieces) or pickles.inspect


def _of_tensorflow(piece: Piece, name: str, pieces: Pieces) -> Inspector | None:
    """What looks at a graph, or at the index of a checkpoint; None where ``piece`` is neither."""
    last = name.rpartition("/")[2]
    if last in ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"):
        from keras_integrity_hook.inspection import saved_model

        return saved_model.inspect if last.endswith(".pb") else saved_model.inspect_other_form
    if last.endswith(".index"):
        from keras_integrity_hook.inspection import checkpoints

        sizes = {name: content.size for name, content in pieces.kept.items()}
        return partial(checkpoints.inspect, sizes=sizes)
    return None
