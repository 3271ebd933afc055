# SPDX-License-Identifier: Apache-2.0
"""Shared set-up: quiet TensorFlow, Hypothesis profiles, and Keras under the hook."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# The person's own settings are not the tests'. Here, because fixtures of a module or a session are
# set up before those of a test, and Keras is imported in one of them.
_nobodys = tempfile.TemporaryDirectory(prefix="keras-integrity-tests-")
os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_STATE_HOME"] = _nobodys.name
for _name in [name for name in os.environ if name.startswith("KERAS_INTEGRITY")]:
    del os.environ[_name]

_COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
# The same examples every time: what a change must pass says the same of it twice. The nightly run
# tries others.
settings.register_profile("ci", max_examples=60, derandomize=True, **_COMMON)
settings.register_profile("nightly", max_examples=5000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


_NIGHTLY_SECONDS = 3600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the long tests more time, where they do not say how much themselves."""
    for item in items:
        if item.get_closest_marker("nightly") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_NIGHTLY_SECONDS))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's configuration directory of the test's own, empty, and no variable of ours; nor is
    anything remembered."""
    for name in [name for name in os.environ if name.startswith("KERAS_INTEGRITY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    # Beside it: tests look at what is in their directory, and models leave a memory.
    monkeypatch.setenv("XDG_STATE_HOME", f"{tmp_path}-state")
    return tmp_path / "config" / "keras-integrity"


@pytest.fixture(scope="session")
def keras() -> Any:
    """The real Keras with the hook active."""
    import keras_integrity_hook

    keras_integrity_hook.activate()
    import keras as module

    keras_integrity_hook.assert_active()
    return module


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server of the session's own (``postgres.Server``)."""
    from tests.support.postgres import running

    with running() as server:
        yield server


@pytest.fixture
def publisher(tmp_path: Path, home: Path) -> Any:
    """Somebody with a key that the user trusts (``attacks.Publisher``)."""
    from tests.support.attacks import Publisher

    return Publisher(tmp_path / "publisher")


@pytest.fixture
def signed_policy(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's policy: models have to be signed."""
    path = tmp_path / "policy.toml"
    path.write_text('require = "signed"\n')
    monkeypatch.setenv("KERAS_INTEGRITY_POLICY", str(path))
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Where models of a test lie."""
    return tmp_path / "models"


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A directory that every user may enter; pytest's own are private to one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
