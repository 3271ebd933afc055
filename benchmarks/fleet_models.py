# SPDX-License-Identifier: Apache-2.0
"""The models of a fleet that is audited: small ones, as Keras saves them, of several kinds.

python -m benchmarks.fleet_models FOLDER   # makes them, and a trust file with who signed one
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

MIX = {"sealed": 79, "signed": 10, "unsealed": 10, "damaged": 1}
"""Of each hundred models; those of a kind follow one another."""
OUTCOMES = {"sealed": "passed", "signed": "passed", "unsealed": "passed", "damaged": "refused"}
TRUST = "trust.toml"
_UNITS = 16
_KINDS = tuple(kind for kind, count in MIX.items() for _ in range(count))


def kind_of(number: int) -> str:
    """Of which kind the model of this number is."""
    return _KINDS[number % len(_KINDS)]


def outcomes_of(count: int) -> dict[str, int]:
    """How many of the first ``count`` models an audit has to pass, and how many to refuse."""
    found: dict[str, int] = {}
    for kind, number in MIX.items():
        before = _KINDS.index(kind)
        rest = min(max(count % len(_KINDS) - before, 0), number)
        known = found.get(OUTCOMES[kind], 0)
        found[OUTCOMES[kind]] = known + count // len(_KINDS) * number + rest
    return {outcome: number for outcome, number in found.items() if number}


def path_of(folder: Path, kind: str) -> Path:
    """Where the file of a kind is."""
    return folder / f"{kind}.keras"


def make(folder: Path) -> None:
    """Write a file of each kind into ``folder``."""
    from benchmarks.models import build
    from keras_integrity_hook import api
    from keras_integrity_hook.signing import private, trust_edit
    from keras_integrity_hook.signing.trust_file import TrustedKey

    plain = path_of(folder, "unsealed")
    build(_UNITS).save(plain)
    if api.inspect(plain).seal is not None:  # by the hook, where it is active here
        api.unseal(plain)
    for kind in ("sealed", "signed", "damaged"):
        path = path_of(folder, kind)
        shutil.copyfile(plain, path)
        api.seal(path)
    public = private.write_pair(str(folder / "key"), "ed25519", None)
    key = TrustedKey("release", public.keyid, public.scheme, public.pem)
    trust_edit.add_key(str(folder / TRUST), key)
    api.sign(path_of(folder, "signed"), key=str(folder / "key"))
    _damage(path_of(folder, "damaged"))


def _damage(path: Path) -> None:
    """Turn one bit of the first weight, which is 1.0."""
    data = bytearray(path.read_bytes())
    data[data.index(struct.pack("<f", 1.0))] ^= 1
    path.write_bytes(data)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
