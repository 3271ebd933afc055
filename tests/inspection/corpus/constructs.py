# SPDX-License-Identifier: Apache-2.0
"""What attackers put into configurations, each as a value of its own; positions are elsewhere."""

from __future__ import annotations

import base64
import pickle
from typing import NamedTuple

from keras_integrity_hook.inspection.findings import Verdict
from tests.inspection.corpus import configs
from tests.inspection.corpus.configs import Object, calling, code, function, layer, obj

REFUSE, REVIEW = Verdict.REFUSE, Verdict.REVIEW
ELSEWHERE = "/tmp/keras-integrity-elsewhere"
"""A path that is never there: no case needs to find anything."""


class Construct(NamedTuple):
    """A value that attacks, the verdict that it has to get, and where it was first seen."""

    name: str
    value: Object
    least: Verdict
    advisory: str = ""


class Trap:
    """What a pickle of an attacker calls when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (configs.MARK, "a"))


def pickled() -> bytes:
    """A pickle that creates the file ``MARK``."""
    return pickle.dumps(Trap())


# Functions of Python that run, load or remove something.
_PYTHON = {
    "os": ("system", "popen", "execv", "remove", "symlink"),
    "posix": ("system",),
    "subprocess": ("run", "check_output", "call", "getoutput"),
    "builtins": ("eval", "exec", "compile", "__import__", "open", "getattr", "input", "breakpoint"),
    "importlib": ("import_module", "reload"),
    "runpy": ("run_path", "run_module"),
    "pickle": ("loads", "load"),
    "marshal": ("loads",),
    "shelve": ("open",),
    "ctypes": ("CDLL",),
    "ctypes.util": ("find_library",),
    "code": ("interact",),
    "codeop": ("compile_command",),
    "pty": ("spawn",),
    "shutil": ("rmtree", "copyfile", "unpack_archive"),
    "socket": ("create_connection",),
    "urllib.request": ("urlopen", "urlretrieve"),
    "http.client": ("HTTPConnection",),
    "webbrowser": ("open",),
    "timeit": ("timeit",),
    "pdb": ("run",),
    "cProfile": ("run",),
    "operator": ("attrgetter", "methodcaller"),
    "functools": ("partial", "reduce"),
    "multiprocessing": ("Process",),
    "tempfile": ("mkstemp",),
    "sys": ("exit", "settrace"),
    "signal": ("raise_signal",),
    "ensurepip": ("bootstrap",),
    "pip._internal": ("main",),
    "venv": ("create",),
    "antigravity": ("geohash",),
    "numpy": ("load", "fromfile", "save", "memmap"),
    "numpy.lib": ("npyio",),
    "numpy.f2py": ("compile",),
    "torch": ("load", "hub"),
    "torch.hub": ("load",),
    "torch.serialization": ("load",),
    "joblib": ("load",),
    "dill": ("loads",),
    "cloudpickle": ("loads",),
    "pandas": ("read_pickle", "read_csv", "eval"),
    "yaml": ("unsafe_load", "load"),
    "requests": ("get",),
    "tensorflow": ("load_library", "py_function", "numpy_function", "print"),
    "tensorflow.io": ("read_file", "write_file", "gfile"),
    "tensorflow.saved_model": ("load",),
    "tensorflow.io.gfile": ("remove", "rmtree", "GFile"),
    "tensorflow.python.framework.load_library": ("load_op_library",),
    "tensorflow.python.platform.gfile": ("Remove",),
    "tf_keras.models": ("load_model",),
    "tf_keras.utils": ("get_file",),
    "h5py": ("File",),
}

# What Keras itself has that is no part of a model: it reads, writes, loads or changes settings.
_NOT_OF_A_MODEL = {
    "keras.utils": (
        "get_file",
        "deserialize_keras_object",
        "register_keras_serializable",
        "load_img",
        "save_img",
        "plot_model",
        "image_dataset_from_directory",
        "text_dataset_from_directory",
        "audio_dataset_from_directory",
        "clear_session",
        "set_random_seed",
        "disable_interactive_logging",
    ),
    "keras.models": ("load_model", "model_from_json", "save_model", "clone_model"),
    "keras.saving": (
        "load_model",
        "save_model",
        "load_weights",
        "save_weights",
        "deserialize_keras_object",
        "KerasFileEditor",
    ),
    "keras.config": (
        "enable_unsafe_deserialization",
        "set_backend",
        "set_floatx",
        "set_dtype_policy",
        "enable_flash_attention",
        "disable_traceback_filtering",
    ),
    "keras.preprocessing.image": ("load_img", "save_img"),
    "keras.datasets.mnist": ("load_data",),
    "keras.datasets.imdb": ("get_word_index",),
    "keras.applications": ("MobileNet",),
    "keras.applications.imagenet_utils": ("decode_predictions",),
    "keras.callbacks": ("CSVLogger", "LambdaCallback", "RemoteMonitor", "ModelCheckpoint"),
    "keras.distribution": ("initialize",),
    "keras.export": ("ExportArchive",),
    "keras.backend": ("clear_session",),
    "keras.tree": ("map_structure",),
    "keras.src.utils.file_utils": ("get_file", "extract_archive", "download"),
    "keras.src.utils.python_utils": ("func_load",),
    "keras.src.utils.torch_utils": ("TorchModuleWrapper",),
    "keras.src.utils.io_utils": ("ask_to_proceed_with_overwrite",),
    "keras.src.saving.saving_lib": ("load_model", "_load_model_from_dir"),
    "keras.src.saving.saving_api": ("load_model", "load_weights"),
    "keras.src.saving.serialization_lib": (
        "enable_unsafe_deserialization",
        "deserialize_keras_object",
    ),
    "keras.src.legacy.saving.legacy_h5_format": ("load_model_from_hdf5",),
    "keras.src.backend.common.global_state": ("set_global_attribute",),
    "keras._tf_keras.keras.utils": ("get_file",),
    "keras.legacy.saving": ("deserialize_keras_object",),
    "keras.utils.legacy": ("deserialize_keras_object",),
    "keras_hub.src.utils.preset_utils": ("get_file", "load_json"),
    "keras_nlp.src.utils.preset_utils": ("get_file",),
    "keras_cv.src.utils.preset_utils": ("get_file",),
}

_ADVISORIES = {
    "os.system": "CVE-2025-1550",
    "keras.utils.get_file": "CVE-2025-8747",
    "keras.models.load_model": "CVE-2025-9906",
    "keras.config.enable_unsafe_deserialization": "CVE-2025-9906",
    "keras.src.backend.common.global_state.set_global_attribute": "CVE-2025-9906",
}


def functions() -> list[Construct]:
    """Functions that are no part of a model, by their names."""
    found = []
    for least, table in ((REFUSE, _PYTHON), (REVIEW, _NOT_OF_A_MODEL)):
        for module, names in table.items():
            for name in names:
                whole = f"{module}.{name}"
                # What a custom function of somebody's could be called like is for a person to see.
                known = REFUSE if whole in _ADVISORIES or module in STANDARD else REVIEW
                verdict = known if least is REFUSE else (REFUSE if whole in GADGETS else REVIEW)
                advisory = _ADVISORIES.get(whole, "")
                found.append(Construct(whole, function(module, name), verdict, advisory))
    return found


STANDARD = ("os", "posix", "subprocess", "builtins", "runpy", "pickle", "marshal", "ctypes")
"""Modules of which no model has a function, whoever made it."""

GADGETS = (
    *_ADVISORIES,
    "keras.saving.load_model",
    "keras.utils.deserialize_keras_object",
    "keras.models.model_from_json",
    "keras.src.utils.file_utils.get_file",
    "keras.src.utils.python_utils.func_load",
    "keras.src.saving.saving_lib.load_model",
    "keras.src.saving.serialization_lib.enable_unsafe_deserialization",
)
"""What public advisories or their fixes name."""


def classes() -> list[Construct]:
    """Classes that are imported by their module's name, as Keras before 3.9 and tf_keras do."""

    def spec(name: str, module: str, config: list[object]) -> Object:
        inside = {"class_name": "__typespec__", "spec_name": name, "module": module}
        return {**inside, "config": config, "registered_name": None}

    return [
        Construct("subprocess.Popen", obj("subprocess", "Popen", {"args": ["true"]}), REFUSE),
        Construct("os._wrap_close", obj("os", "_wrap_close", {"stream": 1}), REFUSE),
        Construct("builtins.open, a class", obj("builtins", "open", {"file": ELSEWHERE}), REFUSE),
        Construct("pathlib.Path", obj("pathlib", "Path", {"args": [ELSEWHERE]}), REVIEW),
        Construct("unittest.mock", obj("unittest.mock", "Mock", {"name": "mock"}), REVIEW),
        Construct("a package of nobody", obj("evil_package.layers", "Evil", {}), REVIEW),
        Construct("a module in the working directory", obj("evil", "Evil", {}), REVIEW),
        Construct("relative module", obj("..evil", "Evil", {}), REVIEW),
        Construct("keras module unheard of", obj("keras.evil", "Evil", {}), REVIEW),
        Construct("keras_hub module unheard of", obj("keras_hub.src.evil", "Evil", {}), REVIEW),
        Construct("keras look-alike", obj("keras_", "Dense", {"units": 1}), REVIEW),
        Construct("cyrillic keras", obj("ker\u0430s.layers", "Dense", {"units": 1}), REVIEW),
        Construct("capital keras", obj("Keras.layers", "Dense", {"units": 1}), REVIEW),
        Construct("module with a space", obj("keras.layers ", "Dense", {"units": 1}), REVIEW),
        Construct("callback", obj("keras.callbacks", "CSVLogger", {"filename": "x"}), REVIEW),
        Construct("tensorflow module", obj("tensorflow", "Module", {"name": "x"}), REVIEW),
        Construct("typespec of os", spec("system", "os", [None]), REFUSE),
        Construct("typespec of a foreign class", spec("Evil", "evil_package", [[1]]), REVIEW),
        Construct("typespec that is none", spec("Popen", "subprocess", ["x"]), REFUSE),
    ]


def custom() -> list[Construct]:
    """Custom objects: code of somebody's that is looked up by name, also under another's."""
    return [
        Construct("custom layer", obj("my", "A", {}, registered_name="my_pkg>A"), REVIEW),
        Construct("custom layer of no package", obj(None, "A", {}, registered_name="A"), REVIEW),
        Construct(
            "custom name over a layer of Keras",
            obj("keras.layers", "Dense", {"units": 3}, registered_name="my_pkg>Dense"),
            REVIEW,
        ),
        Construct(
            "gadget by registered name",
            obj("keras.layers", "Dense", {}, registered_name="keras.utils>get_file"),
            REVIEW,
        ),
        Construct(
            "custom function",
            function("builtins", "my_pkg>activate", "my_pkg>activate"),
            REVIEW,
        ),
        Construct("custom function, bare", function("builtins", "activate_me", None), REVIEW),
        Construct("custom function of main", function("__main__", "activate_me", None), REVIEW),
    ]


def code_in_objects() -> list[Construct]:
    """Python code: ``lambda``, pickles of torch modules, functions of JAX."""
    pickle_text = base64.b64encode(pickled()).decode()
    bare = {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}
    old = layer("Lambda", "gadget", function=[configs.payload(), None, None])
    jax = {"call_fn": code(), "init_fn": code(), "params": None, "state": None}
    flax = {"module": obj("evil_package", "Evil", {}), "method": "setup", "variables": None}
    return [
        Construct("lambda", layer("Lambda", "gadget", function=code()), REVIEW, "CVE-2024-3660"),
        Construct("lambda as a list", old, REVIEW, "CVE-2024-3660"),
        Construct(
            "lambda as output shape",
            layer("Lambda", "gadget", function=function("keras.ops", "relu"), output_shape=code()),
            REVIEW,
        ),
        Construct(
            "lambda as mask",
            layer("Lambda", "gadget", function=function("keras.ops", "relu"), mask=code()),
            REVIEW,
        ),
        Construct("lambda outside of Lambda", dense_with(activation=code()), REVIEW),
        Construct("lambda that is damaged", dense_with(activation=bare), REVIEW),
        Construct(
            "torch module",
            layer("TorchModuleWrapper", "gadget", module=pickle_text),
            REVIEW,
            "CVE-2025-49655",
        ),
        Construct(
            "torch module by its own module",
            obj("keras.src.utils.torch_utils", "TorchModuleWrapper", {"module": pickle_text}),
            REVIEW,
            "CVE-2025-49655",
        ),
        Construct("JAX layer", layer("JaxLayer", "gadget", **jax), REVIEW),
        Construct("Flax layer", layer("FlaxLayer", "gadget", **flax), REVIEW),
    ]


def dense_with(**config: object) -> Object:
    """A dense layer of which something is an attack."""
    return configs.dense("attacked", **config)


_SCHEMES = ("", "file://", "http://127.0.0.1:9", "https://evil.example", "gs://evil", "s3://evil")
_READERS = {
    "TextVectorization": "vocabulary",
    "StringLookup": "vocabulary",
    "IntegerLookup": "vocabulary",
    "TFSMLayer": "filepath",
}


def readers() -> list[Construct]:
    """Layers that read another file, or ask the network for it, when they are built."""
    found = []
    advisory = {"TFSMLayer": "CVE-2026-1462"}
    for class_name, argument in _READERS.items():
        for scheme in _SCHEMES:
            config = {argument: scheme + ELSEWHERE}
            if class_name == "TFSMLayer":
                config["call_endpoint"] = "serve"
            made = layer(class_name, "gadget", **config)
            name = f"{class_name} of {scheme or 'a path'}"
            found.append(Construct(name, made, REVIEW, advisory.get(class_name, "CVE-2025-12058")))
    relative = layer("StringLookup", "gadget", vocabulary="../../secrets/words.txt")
    found.append(Construct("StringLookup of a relative path", relative, REVIEW, "CVE-2025-12058"))
    for class_name, argument in (
        ("WordPieceTokenizer", "vocabulary"),
        ("BytePairTokenizer", "vocabulary"),
        ("BytePairTokenizer", "merges"),
        ("SentencePieceTokenizer", "proto"),
    ):
        module = (
            "keras_hub.src.tokenizers."
            + {
                "WordPieceTokenizer": "word_piece_tokenizer",
                "BytePairTokenizer": "byte_pair_tokenizer",
                "SentencePieceTokenizer": "sentence_piece_tokenizer",
            }[class_name]
        )
        made = obj(module, class_name, {"name": "gadget", argument: ELSEWHERE})
        found.append(Construct(f"{class_name} {argument}", made, REVIEW))
    download = calling(function("keras.applications", "ResNet50"), weights=ELSEWHERE)
    found.append(Construct("application with weights of a path", download, REVIEW))
    return found


def numbers() -> list[Construct]:
    """Numbers that exhaust memory or time while a model is built, before any weight is read."""
    huge, dtype = 10**12, {"value": [0], "dtype": f"V{10**9}"}
    many = {"value": "0" * 10, "dtype": f"U{10**9}"}
    return [
        Construct("units", dense_with(units=huge), REFUSE),
        Construct("units as a float", dense_with(units=1e300), REFUSE),
        Construct("embedding", layer("Embedding", input_dim=huge, output_dim=huge), REFUSE),
        Construct("filters", layer("Conv2D", filters=huge, kernel_size=[3, 3]), REFUSE),
        Construct("kernel", layer("Conv2D", filters=8, kernel_size=[10**6, 10**6]), REFUSE),
        Construct("repeat", layer("RepeatVector", n=10**12), REFUSE),
        Construct("heads", layer("MultiHeadAttention", num_heads=10**9, key_dim=10**9), REFUSE),
        Construct("recurrent units", layer("LSTM", units=10**9), REFUSE),
        Construct("hash bins", layer("CategoryEncoding", num_tokens=10**15), REFUSE),
        Construct(
            "input shape",
            layer("InputLayer", batch_shape=[10**12, 10**12], dtype="float32"),
            REFUSE,
        ),
        Construct("input rank", layer("InputLayer", batch_shape=[1] * 100_000), REFUSE),
        Construct("void array", obj(None, "__numpy__", dtype), REFUSE),
        Construct("text array", obj(None, "__numpy__", many), REFUSE),
        Construct(
            "object array", obj(None, "__numpy__", {"value": [0], "dtype": "object"}), REVIEW
        ),
        Construct(
            "build shape",
            {**dense_with(), "build_config": {"input_shape": [None, huge]}},
            REFUSE,
        ),
    ]


def names() -> list[Construct]:
    """Names that become paths of files, or that do something to a terminal."""

    def named(name: str) -> Object:
        return configs.dense(name)

    return [
        Construct("name that climbs", named("../../../../etc/cron.d/x"), REFUSE, "CVE-2026-12479"),
        Construct("absolute name", named("/etc/cron.d/x"), REFUSE, "CVE-2026-12479"),
        Construct("name with a NUL", named("dense\0.py"), REVIEW),
        Construct("name of one dot", named(".."), REVIEW, "CVE-2026-12479"),
    ]


def all_constructs() -> list[Construct]:
    """Every construct."""
    objects = [*functions(), *classes(), *custom(), *code_in_objects()]
    return [*objects, *readers(), *numbers(), *names()]
