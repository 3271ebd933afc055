# SPDX-License-Identifier: Apache-2.0
"""Every way to install activates every interpreter, and uninstalling leaves nothing behind.

Real builds, installed without dependencies into fresh virtual environments: arming the finder
needs none of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STARTUP_FILES = {"keras_integrity_hook.pth", "keras_integrity_hook.start"}
LEFT_BY_INSTALLERS = {"share", "share/man", "share/man/man1"}
"""Directories, empty: pip and uv remove the manual page, and not all of those above it."""
PROBE = (
    "import sys; kind = type(sys.meta_path[0]); "
    "print(kind.__module__ == 'keras_integrity_hook.activation.finder')"
)
SPAWN_PROBE = """
import multiprocessing, sys

def armed(queue):
    from keras_integrity_hook.activation.finder import is_armed
    queue.put("keras_integrity_hook" in type(sys.meta_path[0]).__module__ and is_armed())

if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=armed, args=(queue,))
        process.start()
        print(method, queue.get(timeout=60))
        process.join()
"""

pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the source tree is not beside the tests"
)


class Venv:
    """A virtual environment without pip; the pip of the running interpreter installs into it."""

    def __init__(self, where: Path) -> None:
        self.where = where
        _run(sys.executable, "-m", "venv", "--without-pip", where)
        self.python = where / "bin" / "python"
        self.site = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))

    def run(self, *arguments: str | Path) -> str:
        """Standard output of the environment's Python, which must print no errors."""
        done = self.start(*arguments)
        assert done.stderr == ""
        assert done.returncode == 0
        return done.stdout.strip()

    def start(self, *arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        # Not in the source tree, where "-c" would import the package from.
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.where,
            env={**_environment(), **extra},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def install(self, *what: str | Path) -> None:
        self.pip("install", "--quiet", "--no-deps", *what)

    def uninstall(self) -> None:
        self.pip("uninstall", "--quiet", "--yes", "keras-integrity-hook")

    def pip(self, *arguments: str | Path) -> None:
        _run(sys.executable, "-m", "pip", "--python", self.python, *arguments)

    def files(self) -> set[str]:
        """Everything in the environment, as relative paths."""
        return {str(path.relative_to(self.where)) for path in self.where.rglob("*")}


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _run(*command: str | Path) -> None:
    done = subprocess.run(
        command, env=_environment(), capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source tree: builds write into it."""
    copy = tmp_path_factory.mktemp("source") / "tree"
    rubbish = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=rubbish)
    shutil.copytree(ROOT / ".ci", copy / ".ci")
    return copy


@pytest.fixture(scope="session")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the sdist and of the wheel that was built from that sdist."""
    output = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--outdir", output, source)
    return output


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


@pytest.fixture(scope="session")
def sdist(built: Path) -> Path:
    return next(built.glob("*.tar.gz"))


@pytest.fixture(scope="session")
def from_wheel(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment with the wheel, for tests that only look."""
    venv = Venv(tmp_path_factory.mktemp("venv") / "wheel")
    venv.install(wheel)
    return venv


@pytest.fixture(scope="session")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


@pytest.mark.parametrize("way", ["wheel", "sdist", "tree", "editable"])
def test_every_way_to_install_activates_and_uninstalls_completely(
    way: str, request: pytest.FixtureRequest, source: Path, tmp_path: Path
) -> None:
    venv = Venv(tmp_path / "venv")
    before = venv.files()
    if way in {"wheel", "sdist"}:
        venv.install(request.getfixturevalue(way))
    else:
        venv.install(*(["-e"] if way == "editable" else []), source)

    assert venv.run("-c", PROBE) == "True"
    assert {path.name for path in venv.site.iterdir()} >= STARTUP_FILES

    venv.uninstall()
    assert venv.files() - before <= LEFT_BY_INSTALLERS
    assert venv.run("-c", PROBE) == "False"


def test_uv_installs_and_uninstalls(wheel: Path, tmp_path: Path) -> None:
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    if uv is None:
        pytest.skip("uv is not installed")
    venv = Venv(tmp_path / "venv")
    before = venv.files()
    _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", venv.python, wheel)
    assert venv.run("-c", PROBE) == "True"
    _run(uv, "pip", "uninstall", "--quiet", "--python", venv.python, "keras-integrity-hook")
    left = {name for name in venv.files() - before if not name.endswith(".lock")}
    assert left <= LEFT_BY_INSTALLERS
    assert venv.run("-c", PROBE) == "False"


@pytest.mark.parametrize("flag", ["-I", "-E", "-s", "-P", "-O", "-OO", "-B", "-X dev"])
def test_no_interpreter_flag_disables(from_wheel: Venv, flag: str) -> None:
    assert from_wheel.run(*flag.split(), "-c", PROBE) == "True"


def test_without_site_it_is_inactive(from_wheel: Venv) -> None:
    assert from_wheel.run("-S", "-c", PROBE) == "False"


def test_child_processes_are_armed(from_wheel: Venv, tmp_path: Path) -> None:
    script = tmp_path / "children.py"
    script.write_text(SPAWN_PROBE)
    assert from_wheel.run(script).split() == ["fork", "True", "spawn", "True", "forkserver", "True"]


def test_armed_once_although_a_venv_runs_its_start_up_files_twice(from_wheel: Venv) -> None:
    count = "import sys; print(sum('integrity' in type(f).__module__ for f in sys.meta_path))"
    assert from_wheel.run("-c", count) == "1"


def test_start_up_imports_only_the_finder(from_wheel: Venv, tmp_path: Path) -> None:
    modules = "import sys; names = list(sys.modules); import json; print(json.dumps(names))"
    bare = json.loads(Venv(tmp_path / "bare").run("-c", modules))
    ours = json.loads(from_wheel.run("-c", modules))
    new = {name for name in set(ours) - set(bare) if not name.startswith("keras_integrity_hook")}
    assert new <= {"__future__"}
    assert {name for name in ours if name.startswith("keras_integrity_hook")} == {
        "keras_integrity_hook.activation.finder"
    }


IMPORTS = (
    "import keras_integrity_hook.activation.finder as finder",
    "from keras_integrity_hook.activation import finder",
    "import keras_integrity_hook.activation; finder = keras_integrity_hook.activation.finder",
    "import keras_integrity_hook as k; k.__version__; finder = k.activation.finder",
)


@pytest.mark.parametrize("how", IMPORTS)
def test_finder_is_found_by_every_import_although_it_was_loaded_alone(
    from_wheel: Venv, how: str
) -> None:
    code = f"import sys; {how}; print(finder.is_armed(), type(sys.meta_path[0]) is finder.Finder)"
    assert from_wheel.run("-c", code) == "True True"


@pytest.mark.parametrize("kind", ["empty package", "empty activation"])
def test_shadow_package_on_the_path_is_not_imported_later_either(
    from_wheel: Venv, tmp_path: Path, kind: str
) -> None:
    code = "import keras_integrity_hook as k; print(k.__file__, k.__version__)"
    done = from_wheel.start("-c", code, PYTHONPATH=str(shadow(tmp_path, kind)))
    assert done.stdout.startswith(str(from_wheel.site)), done.stderr


SHADOWS = {
    "empty package": ["__init__.py"],
    "namespace package": ["activation/finder.txt"],
    "empty activation": ["__init__.py", "activation/__init__.py"],
    "another finder": ["__init__.py", "activation/__init__.py", "activation/finder.py"],
}


def shadow(folder: Path, kind: str) -> Path:
    for name in SHADOWS[kind]:
        path = folder / "keras_integrity_hook" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def arm(): pass\n" if name.endswith("finder.py") else "")
    return folder


@pytest.mark.parametrize("kind", SHADOWS)
def test_shadow_package_on_the_path_is_not_loaded(
    from_wheel: Venv, tmp_path: Path, kind: str
) -> None:
    done = from_wheel.start("-c", PROBE, PYTHONPATH=str(shadow(tmp_path, kind)))
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_shadow_package_does_not_hide_an_editable_install(source: Path, tmp_path: Path) -> None:
    odd = tmp_path / 'it\'s a "tree"'
    shutil.copytree(source, odd)
    venv = Venv(tmp_path / "venv")
    venv.install("-e", odd)
    hiding = str(shadow(tmp_path / "shadow", "empty package"))
    done = venv.start("-c", PROBE, PYTHONPATH=hiding)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_shadow_package_in_the_users_site_is_not_loaded(wheel: Path, tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    venv.install(wheel)
    configuration = venv.where / "pyvenv.cfg"
    text = configuration.read_text().replace("site-packages = false", "site-packages = true")
    configuration.write_text(text)
    where = venv.start("-m", "site", "--user-site", PYTHONUSERBASE=str(tmp_path / "user"))
    shadow(Path(where.stdout.strip()), "empty package")
    done = venv.start("-c", PROBE, PYTHONUSERBASE=str(tmp_path / "user"))
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_left_over_pth_loads_no_shadow(wheel: Path, tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    venv.install(wheel)
    shutil.rmtree(venv.site / "keras_integrity_hook")
    code = "import sys; print('keras_integrity_hook' in sys.modules)"
    done = venv.start("-c", code, PYTHONPATH=str(shadow(tmp_path, "another finder")))
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("remnant", ["nothing", "empty directory"])
def test_left_over_pth_is_silent(wheel: Path, tmp_path: Path, remnant: str) -> None:
    venv = Venv(tmp_path / "venv")
    venv.install(wheel)
    shutil.rmtree(venv.site / "keras_integrity_hook")
    if remnant == "empty directory":
        (venv.site / "keras_integrity_hook").mkdir()
    assert venv.run("-c", PROBE) == "False"


def test_broken_package_is_not_silent(wheel: Path, tmp_path: Path) -> None:
    venv = Venv(tmp_path / "venv")
    venv.install(wheel)
    (venv.site / "keras_integrity_hook" / "activation" / "finder.py").unlink()
    done = venv.start("-c", "print('started')")
    assert done.stdout == "started\n"
    assert "keras_integrity_hook/activation/finder.py" in done.stderr


@pytest.mark.parametrize("host", ["keras", "keras_hub", "tensorflow", "tf_keras"])
def test_package_that_has_lost_its_watch_lets_no_host_be_imported(
    wheel: Path, tmp_path: Path, host: str
) -> None:
    venv = Venv(tmp_path / "venv")
    venv.install(wheel)
    (venv.site / "keras_integrity_hook" / "activation" / "watching.py").unlink()
    (venv.site / host).mkdir()
    (venv.site / host / "__init__.py").write_text("")
    code = f"""
import sys
for _ in range(2):
    try:
        import {host}
    except ImportError as error:
        print("watching" in str(error), {host!r} in sys.modules)
"""
    assert venv.run("-c", code).splitlines() == ["True False"] * 2


def test_start_up_line_hides_nothing() -> None:
    line = (ROOT / "keras_integrity_hook.pth").read_text().splitlines()[-1]
    assert line.startswith("import ")
    assert len(line) < 360
    for suspect in ("base64", "subprocess", "urllib", "socket", "__import__", "compile"):
        assert suspect not in line


def test_start_file_names_a_callable_of_the_package() -> None:
    lines = (ROOT / "keras_integrity_hook.start").read_text().splitlines()
    assert [one for one in lines if one[:1] != "#"] == [
        "keras_integrity_hook.activation.finder:arm"
    ]


def test_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        record = archive.read(next(one for one in names if one.endswith("/RECORD"))).decode()
    roots = {name.partition("/")[0] for name in names}
    assert {root for root in roots if not root.endswith((".dist-info", ".data"))} == {
        "keras_integrity_hook",
        *STARTUP_FILES,
    }
    (manual,) = (name for name in names if ".data/" in name)
    assert manual.endswith(".data/data/share/man/man1/keras-integrity.1")
    assert "keras_integrity_hook/py.typed" in names
    assert any("LICENSE" in name for name in names)
    for name in STARTUP_FILES:
        assert f"{name},sha256=" in record


def test_sdist_can_be_tested(sdist: Path, source: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= STARTUP_FILES | {"LICENSE", "pyproject.toml", "setup.py"}
    assert names >= {"tox.ini", ".ci/again.py"}
    tests = {path for path in (source / "tests").rglob("*") if path.is_file()}
    pages = {*(source / "docs").rglob("*.md"), *source.glob("*.md"), *(source / "man").iterdir()}
    assert pages
    assert names >= {str(path.relative_to(source)) for path in tests | pages}


def test_metadata_is_complete(metadata: Message) -> None:
    assert metadata["Name"] == "keras-integrity-hook"
    assert metadata["Version"] == "0.2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Apache-2.0" in (metadata["License"], metadata["License-Expression"])
    kept_elsewhere = {"aws", "azure", "gcp", "hsm", "vault"}
    extras = {"blake3", "demo", "dev", "docs", "fleet", "mlflow", "registry", "remote"}
    extras |= {"sandbox", "sigstore", "test", "tuf", *kept_elsewhere}
    assert set(metadata.get_all("Provides-Extra", [])) == extras
    required = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert required == {
        "wrapt>=1.14",
        "click>=8.1",
        "cryptography>=45",
        "tomlkit>=0.12",
        "packaging>=22",
    }


def test_man_page_lies_where_man_looks_for_it(from_wheel: Venv) -> None:
    page = from_wheel.where / "share" / "man" / "man1" / "keras-integrity.1"
    assert page.read_text() == (ROOT / "man" / page.name).read_text()


def test_console_script_is_installed(from_wheel: Venv) -> None:
    assert (from_wheel.where / "bin" / "keras-integrity").exists()


def test_empty_environment_gets_little_and_verify_needs_no_keras(
    wheel: Path, tmp_path: Path
) -> None:
    """Ten packages and 25 MB at the most; models of every container are checked without Keras."""
    venv = Venv(tmp_path / "venv")
    before = sum(path.stat().st_size for path in venv.where.rglob("*") if path.is_file())
    pip = (sys.executable, "-m", "pip", "--python", venv.python)
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-compile", wheel],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    if done.returncode:
        pytest.skip("the requirements cannot be installed: no index can be reached")
    after = sum(path.stat().st_size for path in venv.where.rglob("*") if path.is_file())
    assert after - before < 25_000_000
    assert len(list(venv.site.glob("*.dist-info"))) <= 10
    assert not {"keras", "numpy", "h5py", "tensorflow"} & {
        path.name for path in venv.site.iterdir()
    }
    _run(*pip, "check")

    vectors = ROOT / "tests" / "vectors"
    for suffix in (".keras", ".weights.h5"):
        model = tmp_path / f"model{suffix}"
        shutil.copy(next(vectors.rglob(f"*{suffix}")), model)
        command = ("-m", "keras_integrity_hook.cli", "verify", model)
        assert venv.start(*command).returncode == 0
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(data)
        assert venv.start(*command).returncode == 1
