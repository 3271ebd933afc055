# SPDX-License-Identifier: Apache-2.0
"""The finder survives what Python programs do to imports, and Keras is guarded when it is imported.

Each test is a real interpreter with real imports. The finder is tried on a small package written
to disk, whose function ``roar`` the patcher makes say "guarded"; then on Keras itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import keras_integrity_hook
from keras_integrity_hook.activation import finder, watching

PACKAGE_HOME = Path(keras_integrity_hook.__file__).parent.parent
PREAMBLE = """
import importlib, importlib.machinery, sys
sys.path[:0] = [{zoo!r}, {home!r}]
from keras_integrity_hook.activation.finder import Finder, disarm
from keras_integrity_hook.activation.watching import Watch

disarm()  # where the package is installed: two finders would both want to be in front
patched = []

def patch(module):
    patched.append(module.__name__)
    if not hasattr(module.roar, "original"):
        original = module.roar
        module.roar = lambda: "guarded " + original()
        module.roar.original = original

def watching(names, patch):
    watch = Watch(frozenset(names), patch)
    return Finder(frozenset({{"zoo"}}), lambda: watch)

finder = watching({{"zoo.lion"}}, patch)
sys.meta_path.insert(0, finder)

class Rival:
    # Inserted later and in front, like the hooks of typeguard and beartype.
    def __init__(self, *names):
        self.names = names
        self.served = []
    def find_spec(self, fullname, path=None, target=None):
        if fullname not in self.names:
            return None
        self.served.append(fullname)
        return importlib.machinery.PathFinder.find_spec(fullname, path, target)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """A directory with the package ``zoo``: ``zoo.lion.roar()`` returns "plain"."""
    package = tmp_path / "lib" / "zoo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "tiger.py").write_text("")
    (package / "lion.py").write_text(
        "import sys, time\n"
        "loader_seen = (__loader__, __spec__.loader)\n"
        "time.sleep(getattr(sys, 'slow', 0))\n"
        "def roar():\n"
        "    return 'plain'\n"
    )
    (package / "food.txt").write_text("meat")
    return package.parent


@pytest.fixture
def in_zoo(zoo: Path) -> Callable[[str], str]:
    """Run code in a fresh interpreter whose finder watches ``zoo.lion``; give what it printed."""

    def run(code: str) -> str:
        preamble = PREAMBLE.format(zoo=str(zoo), home=str(PACKAGE_HOME))
        done = _python(preamble + textwrap.dedent(code), {})
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def _python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_INTEGRITY")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_import_is_patched_once(in_zoo: Callable[[str], str]) -> None:
    assert in_zoo("import zoo.lion; print(zoo.lion.roar(), patched)") == (
        "guarded plain ['zoo.lion']"
    )


def test_from_import_binds_the_patched_function(in_zoo: Callable[[str], str]) -> None:
    assert in_zoo("from zoo.lion import roar; print(roar())") == "guarded plain"


def test_other_modules_are_left_alone(in_zoo: Callable[[str], str]) -> None:
    code = "import zoo.tiger; print(patched, type(zoo.tiger.__spec__.loader).__name__)"
    assert in_zoo(code) == "[] SourceFileLoader"


def test_reload_is_patched(in_zoo: Callable[[str], str]) -> None:
    assert in_zoo("import zoo.lion; print(importlib.reload(zoo.lion).roar())") == "guarded plain"


def test_purge_and_import_again_is_patched(in_zoo: Callable[[str], str]) -> None:
    code = """
        import zoo.lion
        for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
            del sys.modules[name]
        import zoo.lion
        print(zoo.lion.roar(), len(patched))
    """
    assert in_zoo(code) == "guarded plain 2"


def test_patcher_that_raises_fails_every_import(in_zoo: Callable[[str], str]) -> None:
    code = """
        def refuse(module):
            raise RuntimeError("refused")
        sys.meta_path[0] = watching({"zoo.lion"}, refuse)
        for _ in range(3):
            try:
                import zoo.lion
            except RuntimeError as error:
                print(error, "zoo.lion" in sys.modules)
    """
    assert in_zoo(code).splitlines() == ["refused False"] * 3


def test_module_that_raises_is_not_patched(in_zoo: Callable[[str], str], zoo: Path) -> None:
    (zoo / "zoo" / "lion.py").write_text("raise ValueError('ill')")
    code = """
        try:
            import zoo.lion
        except ValueError as error:
            print(error, patched, "zoo.lion" in sys.modules)
    """
    assert in_zoo(code) == "ill [] False"


def test_missing_module_is_reported_as_ever(in_zoo: Callable[[str], str], zoo: Path) -> None:
    (zoo / "zoo" / "lion.py").unlink()
    code = """
        try:
            import zoo.lion
        except ModuleNotFoundError as error:
            print(error)
    """
    assert in_zoo(code) == "No module named 'zoo.lion'"


def test_eight_threads_importing_at_once(in_zoo: Callable[[str], str]) -> None:
    code = """
        import threading
        sys.slow = 0.2
        barrier = threading.Barrier(8)
        heard = []
        def work():
            barrier.wait()
            from zoo.lion import roar
            heard.append(roar())
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(100)
        print(set(heard), len(heard), patched)
    """
    assert in_zoo(code) == "{'guarded plain'} 8 ['zoo.lion']"


def test_threads_importing_while_rivals_are_inserted(in_zoo: Callable[[str], str]) -> None:
    # Every insertion makes the finder move; no import may fail meanwhile for want of a finder.
    code = """
        import threading
        sys.setswitchinterval(1e-6)
        failures = []
        def work():
            for _ in range(200):
                sys.modules.pop("zoo.tiger", None)
                try:
                    importlib.import_module("zoo.tiger")
                except KeyError:
                    pass  # another thread purged it first
                except BaseException as error:
                    failures.append(error)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        rivals = [Rival() for _ in range(50)]
        for rival in rivals: sys.meta_path.insert(0, rival)
        for thread in threads: thread.join(100)
        import zoo.lion
        print([str(f) for f in failures if isinstance(f, ModuleNotFoundError)])
        print(zoo.lion.roar(), sys.meta_path.count(finder))
    """
    assert in_zoo(code).splitlines() == ["[]", "guarded plain 1"]


def test_rival_in_front_is_asked_but_not_obeyed(in_zoo: Callable[[str], str]) -> None:
    code = """
        rival = Rival("zoo.lion")
        sys.meta_path.insert(0, rival)
        import zoo.lion
        print(zoo.lion.roar(), rival.served, sys.meta_path[0] is finder, rival in sys.meta_path)
    """
    assert in_zoo(code) == "guarded plain ['zoo.lion'] True True"


def test_rival_that_served_a_module_behind_our_back(in_zoo: Callable[[str], str]) -> None:
    # Nothing is imported between the rival's arrival and the module, so nobody asks us in time.
    code = """
        import zoo
        sys.meta_path.insert(0, Rival("zoo.lion"))
        import zoo.lion
        import zoo.tiger
        print(zoo.lion.roar(), sys.meta_path[0] is finder)
    """
    assert in_zoo(code) == "guarded plain True"


def test_rival_that_asks_back_does_not_recurse(in_zoo: Callable[[str], str]) -> None:
    code = """
        class Asking(Rival):
            busy = False
            def find_spec(self, fullname, path=None, target=None):
                if fullname != "zoo.lion" or self.busy:
                    return None
                self.busy = True
                try:
                    return importlib.util.find_spec(fullname)
                finally:
                    self.busy = False
        import importlib.util
        sys.meta_path.insert(0, Asking())
        import zoo.lion
        print(zoo.lion.roar(), patched)
    """
    assert in_zoo(code) == "guarded plain ['zoo.lion']"


def test_loader_is_the_original_one_while_and_after_the_module_runs(
    in_zoo: Callable[[str], str],
) -> None:
    code = """
        import zoo.lion
        seen = {*zoo.lion.loader_seen, zoo.lion.__loader__, zoo.lion.__spec__.loader}
        print([type(loader).__name__ for loader in seen])
    """
    assert in_zoo(code) == "['SourceFileLoader']"


def test_tools_that_look_at_modules_still_work(in_zoo: Callable[[str], str]) -> None:
    code = """
        import copy, importlib.resources, importlib.util, inspect, pkgutil
        spec = importlib.util.find_spec("zoo.lion")
        print(spec.loader.is_package("zoo.lion"), "def roar" in spec.loader.get_source("zoo.lion"))
        print(type(copy.copy(spec.loader)) is type(spec.loader))
        sys.meta_path[0] = watching({"zoo", "zoo.lion"}, lambda module: None)
        for name in ("zoo.lion", "zoo"):
            sys.modules.pop(name, None)
        import zoo.lion
        print(importlib.resources.files("zoo").joinpath("food.txt").read_text())
        print(pkgutil.get_data("zoo", "food.txt").decode(), "plain" in inspect.getsource(zoo.lion))
    """
    assert in_zoo(code).splitlines() == ["False True", "True", "meat", "meat True"]


def test_zip_import_is_patched(in_zoo: Callable[[str], str], zoo: Path, tmp_path: Path) -> None:
    code = f"""
        import shutil
        archive = shutil.make_archive({str(tmp_path / "zoo")!r}, "zip", {str(zoo)!r})
        sys.path[0] = archive
        import zoo.lion
        print(zoo.lion.roar(), type(zoo.lion.__loader__).__name__)
    """
    assert in_zoo(code) == "guarded plain zipimporter"


def test_lazy_loader_is_patched(in_zoo: Callable[[str], str]) -> None:
    code = """
        import importlib.util
        class Lazy(Rival):
            def find_spec(self, *question):
                spec = super().find_spec(*question)
                if spec is not None:
                    spec.loader = importlib.util.LazyLoader(spec.loader)
                return spec
        sys.meta_path.insert(0, Lazy("zoo.lion"))
        import zoo.lion
        print(zoo.lion.roar())
    """
    assert in_zoo(code) == "guarded plain"


def test_finder_that_was_taken_off_stays_off(in_zoo: Callable[[str], str]) -> None:
    code = """
        sys.meta_path.remove(finder)
        print(finder.find_spec("zoo.tiger"), finder in sys.meta_path)
    """
    assert in_zoo(code) == "None False"


def test_arming_is_idempotent_and_survives_a_purge_of_this_package(
    in_zoo: Callable[[str], str],
) -> None:
    code = """
        def arm_twice():
            from keras_integrity_hook.activation.finder import arm
            arm(); arm()
            return [f for f in sys.meta_path if type(f).__name__ == "Finder"]
        sys.meta_path.remove(finder)
        first = arm_twice()
        for name in [n for n in sys.modules if n.startswith("keras_integrity_hook")]:
            del sys.modules[name]
        second = arm_twice()
        print(len(first), len(second), first[0] is second[0])
    """
    assert in_zoo(code) == "1 1 False"


def test_finder_knows_every_package_that_has_modules_to_watch() -> None:
    assert {name.partition(".")[0] for name in watching.WATCHED} == finder.HOSTS


@pytest.mark.parametrize("rivals", ["", "sys.meta_path.insert(0, Rival())"])
def test_program_without_a_host_loads_the_finder_alone(rivals: str) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(PACKAGE_HOME)!r})
from keras_integrity_hook.activation import finder
finder.arm()
class Rival:
    def find_spec(self, *question): return None
{rivals}
import json, wave
print("keras_integrity_hook.activation.watching" in sys.modules, finder.is_armed())
"""
    done = _python(code, {})
    assert (done.stdout, done.stderr) == ("False True\n", "")


def test_a_miss_costs_next_to_nothing(in_zoo: Callable[[str], str]) -> None:
    code = """
        import timeit
        runs = timeit.repeat(lambda: finder.find_spec("json", None, None), number=20000, repeat=5)
        print(min(runs) / 20000 * 1e9)
    """
    assert float(in_zoo(code)) < 2000  # ns; about 150 on an idle machine


# --- Keras itself -------------------------------------------------------------------------------

# "import keras" loads neither tf_keras, nor KerasHub, nor the Keras that lies in TensorFlow.
_OTHERS = ("tf_keras.", "keras_hub.", "tensorflow.python.keras.")
_TARGETS = f"(t for t in keras_integrity_hook.status().targets if not t.name.startswith({_OTHERS}))"
TARGETS = f"[t.state for t in {_TARGETS}]"


@pytest.fixture
def with_keras() -> Run:
    """Run code in a fresh interpreter, hook armed before Keras unless ``armed=False``."""
    pytest.importorskip("keras_integrity_hook.hooks.keras3.targets")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(
        code: str, *, armed: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        start = "from keras_integrity_hook.activation import finder\n" + (
            "finder.arm()\n" if armed else "finder.disarm()\n"
        )
        path = f"import sys; sys.path.insert(0, {str(PACKAGE_HOME)!r})\n"
        return _python(path + start + textwrap.dedent(code), {**quiet, **environment})

    return run


def _printed(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_nothing_heavy_is_imported_before_keras(with_keras: Run) -> None:
    heavy = "{'wrapt', 'importlib_metadata', 'typing', 'dataclasses', 'enum', 'asyncio', 'click'}"
    bare = _python("import sys; print(*sys.modules)", {}).stdout.split()
    done = with_keras(f"import sys; print(*({heavy} & set(sys.modules)))")
    assert set(_printed(done)) <= set(bare)


def test_keras_is_guarded_when_it_is_imported(with_keras: Run) -> None:
    code = f"""
        import keras, keras_integrity_hook
        keras_integrity_hook.assert_active()
        status = keras_integrity_hook.status()
        print(status.active, status.late, status.keras_version == keras.__version__)
        print(*set({TARGETS}) - {{"absent"}})
    """
    assert _printed(with_keras(code)) == ["True", "False", "True", "wrapped"]


def test_keras_is_guarded_again_after_reload_and_purge(with_keras: Run) -> None:
    code = f"""
        import importlib, sys
        import keras, keras_integrity_hook
        from keras.src.saving import saving_api
        importlib.reload(saving_api)
        keras_integrity_hook.assert_active()
        for name in [name for name in sys.modules if name.partition(".")[0] == "keras"]:
            del sys.modules[name]
        import keras
        keras_integrity_hook.assert_active()
        print(*set({TARGETS}) - {{"absent"}})
    """
    assert _printed(with_keras(code)) == ["wrapped"]


def test_late_activation_guards_what_was_imported_before(with_keras: Run, tmp_path: Path) -> None:
    code = f"""
        import keras, keras_integrity_hook
        from keras.models import load_model
        assert not keras_integrity_hook.status().active
        keras_integrity_hook.activate()
        keras_integrity_hook.assert_active()
        print(keras_integrity_hook.status().late, *set({TARGETS}) - {{"absent"}})
        path = {str(tmp_path / "late.keras")!r}
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
        print(keras_integrity_hook.inspect(path).state)
        with open(path, "r+b") as file:
            file.seek(60)
            byte = file.read(1)[0]
            file.seek(60)
            file.write(bytes([byte ^ 1]))
        try:
            load_model(path)
        except keras_integrity_hook.IntegrityError:
            print("refused")
    """
    assert _printed(with_keras(code, armed=False)) == ["True", "wrapped", "sealed", "refused"]


def test_deactivate_gives_keras_its_functions_back(with_keras: Run) -> None:
    code = """
        import keras_integrity_hook
        keras_integrity_hook.deactivate()
        import keras
        from keras.src.saving import saving_lib
        plain = saving_lib.load_model
        keras_integrity_hook.deactivate()
        keras_integrity_hook.activate()
        keras_integrity_hook.activate()
        guarded = saving_lib.load_model
        keras_integrity_hook.deactivate()
        print(guarded is not plain, saving_lib.load_model is plain)
        try:
            keras_integrity_hook.assert_active()
        except keras_integrity_hook.NotActiveError as error:
            print("not-armed" if "not armed" in str(error) else error)
    """
    assert _printed(with_keras(code)) == ["True", "True", "not-armed"]


def test_misspelt_mode_fails_the_import_of_keras_each_time(with_keras: Run) -> None:
    code = """
        import keras_integrity_hook
        for _ in range(2):
            try:
                import keras
            except keras_integrity_hook.ConfigurationError as error:
                print("enforec" in str(error) and "KERAS_INTEGRITY" in str(error))
        print(keras_integrity_hook.status().active)
    """
    done = with_keras(code, KERAS_INTEGRITY="enforec")
    assert _printed(done) == ["True", "True", "False"]


def test_off_leaves_the_functions_of_keras_unwrapped(with_keras: Run) -> None:
    code = """
        import types
        import keras, keras_integrity_hook
        from keras.src.saving import saving_api, saving_lib
        for function in (saving_api.load_model, saving_api.save_model, saving_lib.load_model):
            print(type(function) is types.FunctionType and not hasattr(function, "__wrapped__"))
        print(keras_integrity_hook.status().active)
    """
    assert _printed(with_keras(code, KERAS_INTEGRITY="off")) == ["True", "True", "True", "False"]


def test_status_does_not_import_keras(with_keras: Run) -> None:
    code = """
        import sys, keras_integrity_hook
        status = keras_integrity_hook.status()
        print(status.active, status.keras_loaded, "keras" in sys.modules)
    """
    assert _printed(with_keras(code)) == ["True", "False", "False"]
