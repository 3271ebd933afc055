# SPDX-License-Identifier: Apache-2.0
"""What a confined process may see of the machine: Python, its libraries, and little else.

Worked out in the parent, by whoever starts it: the child takes it as given.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.util import cache_from_source, find_spec
from typing import NamedTuple

from keras_integrity_hook.isolation import hosts

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store")
_FACTS = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/version",
    "/proc/filesystems",
    "/proc/sys/vm",
    "/proc/sys/kernel/osrelease",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
)
"""Facts about the processor and the memory, by which libraries choose how to compute."""

_NEEDED = tuple(dict.fromkeys((*hosts.HOSTS, *hosts.COMPUTING, "landlockpy")))

# fmt: off
_PASSED_ON = frozenset((
    "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "KERAS_BACKEND", "XLA_FLAGS", "JAX_ENABLE_X64",
    "TF_USE_LEGACY_KERAS", "TF_ENABLE_ONEDNN_OPTS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NVIDIA_TF32_OVERRIDE",
))
# fmt: on
_OF_DEVICES = frozenset({"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "JAX_PLATFORMS"})
_NO_DEVICES = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


class Reachable(NamedTuple):
    """What a confined process may see.

    Attributes:
        search: where Python looks for modules.
        readable: files and directories.
        listable: directories whose names it may see, to find what is readable there.
        devices: nodes that are read, written and asked by ioctl(2).
    """

    search: tuple[str, ...]
    readable: tuple[str, ...]
    listable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def of(self, pid: int) -> Reachable:
        """The same, of the process ``pid``, which may look at itself."""
        return self._replace(readable=(*self.readable, f"/proc/{pid}"))

    def covers(self, path: str) -> bool:
        """Whether ``path``, absolute and normal, is among what can be read."""
        roots = (*self.readable, *self.devices, "/dev/null", "/proc/self")
        return any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)


def reachable(*, devices: Iterable[str] = (), modules: Iterable[str] = ()) -> Reachable:
    """What is needed for Keras, and for ``modules`` of the user's, by their names.

    Of those modules it is the package or the file, and not the project that it lies in.
    """
    own = dict(_homes(modules))
    search = tuple(dict.fromkeys((*_search_path(), *dict(_homes(_NEEDED)))))
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    libraries = [*_LIBRARIES, *filter(os.path.isabs, libraries)]
    paths = (*search, *_linked(search), *libraries, *_FACTS, _PACKAGE, *own.values())
    existing = dict.fromkeys(
        each for path in paths for each in (path, os.path.realpath(path)) if os.path.exists(path)
    )
    listable = tuple(home for home in own if home not in search)
    # Whether they are there or not: Python looks for them before it compiles a module.
    compiled = [cache_from_source(path) for path in own.values() if path.endswith(".py")]
    readable = (*existing, *compiled)
    return Reachable((*search, *listable), readable, listable, tuple(devices))


def environment(home: str, *, with_devices: bool) -> dict[str, str]:
    """The variables of a confined process: a few, by name, and never a secret.

    Args:
        home: the private directory, which is its home and its place for temporary files.
    """
    passed_on = _PASSED_ON | (_OF_DEVICES if with_devices else frozenset())
    return {
        **{name: text for name, text in os.environ.items() if _is_passed_on(name, passed_on)},
        **({} if with_devices else _NO_DEVICES),
        **dict.fromkeys(("HOME", "TMPDIR", "KERAS_HOME", "XDG_CACHE_HOME"), home),
        **dict.fromkeys(("USER", "LOGNAME"), "sandbox"),
        "PATH": "/nonexistent",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KMP_WARNINGS": "0",
        # Or the OpenMP of Intel makes a file for all its processes in /dev/shm.
        "__KMP_REGISTER_LIB_METHOD": "0",
    }


def keras_configuration() -> dict[str, object]:
    """What ``keras.json`` would say of the Keras in this process: its number types and backend.

    Empty where Keras is not imported here: then the file of the user counts (:func:`user_file`).
    """
    keras = sys.modules.get("keras")
    config = getattr(keras, "config", None)
    names = ("floatx", "epsilon", "backend", "image_data_format")
    values = {name: getattr(config, name, lambda: None)() for name in names}
    return {name: value for name, value in values.items() if isinstance(value, str | float)}


def user_file() -> str:
    """Where Keras keeps its configuration for this user."""
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    return os.path.join(home, "keras.json")


def _is_passed_on(name: str, names: frozenset[str]) -> bool:
    return name in names or name.startswith("LC_")


def _search_path() -> Iterator[str]:
    """Where this Python looks for installed modules: not the directory of the user's program."""
    installed = _installed_roots()
    for entry in sys.path:
        path = os.path.abspath(entry) if entry else ""
        if path and any(path == root or path.startswith(root + os.sep) for root in installed):
            yield path


def _installed_roots() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots += site.getsitepackages()
    if site.ENABLE_USER_SITE:
        roots.append(site.getusersitepackages())
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    roots += [os.path.join(prefix, "lib", f"python{version}") for prefix in _prefixes()]
    roots += [os.path.join(prefix, "lib", "python3") for prefix in _prefixes()]
    return tuple(os.path.abspath(root) for root in roots)


def _prefixes() -> Iterator[str]:
    yield from {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}


def _linked(search: Iterable[str]) -> Iterator[str]:
    """Packages among those installed that are links: where they lead is judged by Landlock."""
    for directory in search:
        try:
            with os.scandir(directory) as entries:
                yield from (entry.path for entry in entries if entry.is_symlink())
        except OSError:
            continue  # an archive, or a directory that is not there


def _homes(modules: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Where each of ``modules`` is found, and the package or file itself; those that are there."""
    for name in dict.fromkeys(modules):
        top = name.partition(".")[0]
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            continue
        if spec is None or not spec.has_location or not spec.origin:
            continue
        file = os.path.abspath(spec.origin)
        itself = os.path.dirname(file) if spec.submodule_search_locations else file
        yield os.path.dirname(itself), itself
