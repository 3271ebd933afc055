# SPDX-License-Identifier: Apache-2.0
"""Whoever has no policy and no keys pays for neither: what each use of the package imports.

A real process for each, whose imports are listed at its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import keras_integrity_hook
from keras_integrity_hook import api
from tests.support.models import write_model
from tests.support.signers import let_trust, make_key

PACKAGE = "keras_integrity_hook"
PACKAGE_HOME = Path(keras_integrity_hook.__file__).parent.parent

# Of signatures, policies, trusted keys, listeners and the command line.
OTHERS = frozenset(
    {
        "asn1crypto",
        "click",
        "cryptography",
        "google",
        "importlib_metadata",
        "opentelemetry",
        "platformdirs",
        "securesystemslib",
        "sigstore",
        "tomlkit",
        "tomllib",
    }
)
OWN = frozenset(
    f"{PACKAGE}.{name}"
    for name in (
        "audit.event",
        "audit.log_file",
        "audit.syslog",
        "cli",
        "saving.git",
        "detached",
        "settings.advice",
        "signing.keys",
        "signing.private",
        "signing.signers",
        "signing.trust_edit",
        "signing.trust_file",
        "signing.seal_signers",
    )
)

KERAS = """
    import sys
    sys.path.insert(0, {home!r})
    from keras_integrity_hook.activation import finder
    finder.{arming}()
    import keras
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save("m.keras")
    keras.saving.load_model("m.keras")
    model.save_weights("m.weights.h5")
    model.load_weights("m.weights.h5")
    model.save("m.h5")
    keras.saving.load_model("m.h5")
"""
SAVED_MODEL = """
    import tensorflow
    model.export("exported", verbose=False)
    tensorflow.saved_model.load("exported")
"""
TELL = """
import json, sys
print(json.dumps(sorted(sys.modules)))
"""


def imported_by(code: str, *arguments: str, cwd: Path) -> set[str]:
    """The modules that are there after ``code`` in a fresh process without a policy."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("KERAS_INT")}
    clean |= {"XDG_CONFIG_HOME": str(cwd / "config"), "XDG_STATE_HOME": str(cwd / "state")}
    clean |= {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code) + TELL, *arguments],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(PACKAGE_HOME)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def tops(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_load_and_save_without_policy_and_keys_import_what_keras_does_and_no_more(
    tmp_path: Path,
) -> None:
    keras = pytest.importorskip("keras")
    code = KERAS + (SAVED_MODEL if keras.backend.backend() == "tensorflow" else "")
    with_hook, without = (
        imported_by(code.format(home=str(PACKAGE_HOME), arming=arming), cwd=tmp_path)
        for arming in ("arm", "disarm")
    )
    added = {name for name in with_hook - without if not name.startswith("__autograph")}
    assert f"{PACKAGE}.loading.pipeline" in added
    assert tops(added) - sys.stdlib_module_names <= {PACKAGE, "wrapt"}
    assert not {"tomllib", "difflib"} & added
    assert not {name for name in added if name.startswith(f"{PACKAGE}.registry")}
    assert not OWN & added


@pytest.mark.parametrize("use", ["verify", "inspect", "seal", "unseal"])
def test_seals_of_files_need_no_keys_and_no_policy_modules(tmp_path: Path, use: str) -> None:
    path = write_model(tmp_path, "m.keras")
    if use != "seal":
        api.seal(path)
    code = f"import sys, keras_integrity_hook as kih; kih.{use}(sys.argv[1])"
    modules = imported_by(code, str(path), cwd=tmp_path)
    assert not OTHERS & tops(modules)
    assert not OWN & modules
    assert not {name for name in modules if name.startswith(f"{PACKAGE}.registry")}
    assert not {"subprocess", "asyncio", "keras", "h5py", "numpy", "wrapt"} & tops(modules)


def test_verify_on_the_command_line_imports_nothing_that_writes(tmp_path: Path) -> None:
    path = write_model(tmp_path, "m.keras")
    api.seal(path)
    code = """
        import sys
        from keras_integrity_hook.cli import main
        try:
            main(["verify", sys.argv[1]])
        except SystemExit as end:
            assert not end.code
    """
    modules = imported_by(code, str(path), cwd=tmp_path)
    assert not (OTHERS - {"click"}) & tops(modules)
    assert not (OWN - {f"{PACKAGE}.cli"}) & modules
    heavy = {"subprocess", "tempfile", "logging", "difflib", "asyncio", "email", "keras", "wrapt"}
    assert not heavy & tops(modules)
    writers = {"seal_writer", "pipeline", "rewrite", "resign", "autosign", "provenance"}
    assert not {f"{PACKAGE}.saving.{name}" for name in writers} & modules
    assert f"{PACKAGE}.loading.override" not in modules


def test_a_signature_that_nobody_here_is_trusted_for_imports_no_cryptography(
    tmp_path: Path, home: Path
) -> None:
    path = write_model(tmp_path, "m.keras")
    api.seal(path)
    make_key(tmp_path / "key")
    api.sign(path, key=str(tmp_path / "key"))
    code = "import sys, keras_integrity_hook as kih; kih.verify(sys.argv[1])"
    assert not OTHERS & tops(imported_by(code, str(path), cwd=tmp_path))


def test_a_signature_imports_what_it_takes_and_no_cloud(tmp_path: Path, home: Path) -> None:
    path = write_model(tmp_path, "m.keras")
    api.seal(path)
    let_trust("alice", make_key(tmp_path / "key"))
    api.sign(path, key=str(tmp_path / "key"))
    code = "import sys, keras_integrity_hook as kih; assert kih.verify(sys.argv[1]).signers"
    modules = imported_by(code, str(path), cwd=tmp_path)
    assert {"cryptography", "tomllib"} <= tops(modules)
    rest = {"tomlkit", "sigstore", "google", "boto3", "azure", "importlib_metadata", "subprocess"}
    assert not rest & tops(modules)
    assert "securesystemslib.signer" not in modules
