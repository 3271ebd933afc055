# SPDX-License-Identifier: Apache-2.0
"""What a reference of a configuration would resolve to: the allowlist that is taken from Keras.

A reference is a class or function by its module and name, by the name it was registered under, or
by a bare name, as legacy formats have it. Versions differ: before 3.9, and in tf_keras to this day,
Keras imports any module that is named and takes what it finds there; the newest resolves what Keras
exports, what was registered, and its own classes. The worst of them decides.
"""

from __future__ import annotations

import builtins
import re
import sys
from functools import lru_cache
from typing import NamedTuple

from keras_integrity_hook.inspection.keras_names import (
    BY_NAME,
    CLASSES,
    COMPUTING,
    FUNCTIONS,
    HUB_CLASSES,
    HUB_FUNCTIONS,
    OTHERS,
    PURE,
)

KERAS = frozenset({"keras", "tf_keras", "keras_core"})
HUBS = frozenset({"keras_hub", "keras_nlp", "keras_cv"})
_OWN_PACKAGES = frozenset({"builtins", "Custom"})  # Custom: tf_keras's own optimizers, too
_OLD_KERAS = ("tensorflow.keras", "tensorflow.python.keras", "tensorflow.compat.v1.keras")

CODE = {
    "Lambda": "lambda-code",
    "TorchModuleWrapper": "torch-module",
    "JaxLayer": "jax-function",
    "FlaxLayer": "jax-function",
    "TFSMLayer": "saved-model-path",
}
"""Classes that are there to run code which Keras does not have, and the rule for each."""

_COMPUTING_LIBRARIES = re.compile(
    r"(?:tensorflow\.(?:nn|math|image|signal|linalg)|tensorflow_addons|torch\.nn\.functional"
    r"|tensorflow\.python\.ops\.(?:(?:signal|linalg|losses)\.\w+|(?:gen_)?(?:nn|math|array|clip"
    r"|image|special_math|bitwise|random|stateless_random|string|sparse|linalg|ctc|embedding|sort"
    r"|init)_ops(?:_impl|_v2)?|nn|nn_impl|rnn|math|special_math)"
    r"|jax\.(?:_src\.)?(?:nn|numpy|lax))(?:\.\w+)*"
)
"""Modules whose functions compute; what else the libraries have in the same places reads, writes,
calls and registers."""
_NOT_COMPUTING_NAMES = """
load save savez savez_compressed loadtxt fromfile fromfunction fromiter fromstring from_dlpack
apply_along_axis apply_over_axes piecewise vectorize partial wraps infeed outfeed py_func
numpy_function py_function io_callback pure_callback import_module register
register_keras_serializable
"""
_NOT_COMPUTING = frozenset(_NOT_COMPUTING_NAMES.split())
_NEVER_NAMES = """
IPython OpenSSL PIL _cffi_backend _distutils_hack _pytest _yaml absl aiohttp antigravity
argcomplete astunparse atheris attr av boto3 botocore build cachetools certifi cffi
charset_normalizer clang click cloudpickle colorama coverage cryptography cv2 dask dateutil dill
distlib distributed django dm_tree dns execnet executing fabric fastapi filelock flask flatbuffers
flax fsspec gast gevent git google grpc gunicorn h5py httpx huggingface_hub hypothesis idna
importlib_metadata importlib_resources ipykernel jax jaxlib jedi jinja2 joblib jupyter jwt kaggle
kagglehub keras_integrity_hook kubernetes landlockpy libclang llvmlite markdown markdown_it
markupsafe marshal matplotlib mdurl ml_dtypes mlflow model_signing mpi4py mypy mypyc namex
nbconvert notebook numba numexpr numpy onnx onnxruntime openpyxl opentelemetry opt_einsum optax
optree orbax packaging pandas paramiko parso pasta pathspec pexpect pip pipenv pipx pkg_resources
platformdirs playwright pluggy polars prompt_toolkit protobuf psutil psycopg2 ptyprocess pure_eval
py pyarrow pycparser pydantic pydantic_core pygments pymongo pyproject_hooks pyseccomp pytest
pywin32 ray redis requests rich s3fs safetensors scikit_learn scipy seaborn seccomp
securesystemslib selenium sentencepiece setuptools sh sigstore six skimage sklearn sqlalchemy
sympy tabulate tensorboard tensorboard_data_server tensorflow tensorflow_io tensorstore termcolor
threadpoolctl tomlkit toolz torch torchaudio torchvision tornado tox tqdm traitlets transformers
tuf twisted typing_extensions tzdata ujson urllib3 uv uvicorn virtualenv wandb wcwidth websockets
werkzeug wheel win32api win32com wrapt xdist yaml zipp zmq
"""
_NEVER = frozenset(_NEVER_NAMES.split())
"""Packages of many machines from which no configuration takes a class or function."""


_COLUMNS_NAMES = """
BucketizedColumn CrossedColumn EmbeddingColumn HashedCategoricalColumn IdentityCategoricalColumn
IndicatorColumn NumericColumn SequenceCategoricalColumn SequenceNumericColumn SharedEmbeddingColumn
VocabularyFileCategoricalColumn VocabularyListCategoricalColumn WeightedCategoricalColumn
"""
_COLUMNS = frozenset(_COLUMNS_NAMES.split())
"""The feature columns of TensorFlow, which DenseFeatures of tf_keras has in its configuration."""


class Reference(NamedTuple):
    """What a configuration asks Keras to resolve.

    Attributes:
        module: where it is to be found; empty where only a name is given.
        name: of the class or function.
        registered: the name it was registered under; empty if that is the name, or none.
        is_function: it is to be a function.
    """

    module: str
    name: str
    registered: str
    is_function: bool

    def __str__(self) -> str:
        # Keras says of every function that is none of its own that it is one of Python's.
        is_of_program = self.module == "builtins" and not hasattr(builtins, self.name)
        has_module = self.module and not is_of_program
        shown = f"{self.module}>{self.name}" if has_module else self.name
        return f"{shown} (registered as {self.registered})" if self.registered else shown

    @property
    def full_name(self) -> str:
        """What it can be allowed by: its registered name if that has a package."""
        return next((one for one in (self.registered, self.name) if ">" in one), str(self))


@lru_cache(maxsize=1024)
def judged(reference: Reference) -> str:
    """The rule that ``reference`` breaks, the worst if several; empty where it is fine."""
    rules = [_by_module(reference)]
    registered = reference.registered
    if registered and registered != reference.name:
        # What was registered under that name comes first, and where there is none, older versions
        # look in the module for it.
        rules.append(_registered(registered))
        if ">" not in registered:
            rules.append(_by_module(reference._replace(name=registered)))
    return max(rules, key=_SEVERITY.index)


_SEVERITY = (
    *("", "custom-object", "unknown-keras-object", "library-function", "non-modelling"),
    "foreign-object",
)


def _by_module(reference: Reference) -> str:
    module, name = reference.module, reference.name
    package = module.partition(".")[0]
    if not module:
        return _registered(name)
    if not all(map(str.isidentifier, module.split("."))):
        return "foreign-object"  # no module is called so; an import hook may find one all the same
    if package in KERAS | HUBS or module.startswith(_OLD_KERAS):
        return _of_keras(reference)
    if package == "builtins":
        return _of_builtins(name)
    return _of_others(module, name, package)


def _registered(name: str) -> str:
    """The rule for what is looked up by ``name`` alone, among what was registered."""
    package, has_package, rest = name.rpartition(">")
    if has_package:
        is_ours = package in KERAS | HUBS | _OWN_PACKAGES
        return "" if is_ours and is_known(rest) else "custom-object"
    if is_known(name) or name in _COLUMNS or name == "function":
        return ""
    # A legacy loader finds every name of its own module, which has more than layers.
    is_of_module = (name in OTHERS and name.islower()) or name.startswith("__")
    return "non-modelling" if is_of_module else "custom-object"


def is_known(name: str) -> bool:
    """Whether Keras itself has a class or function of this name that models are made of."""
    return name in _KNOWN


_KNOWN = CLASSES | HUB_CLASSES | FUNCTIONS | HUB_FUNCTIONS


def _of_keras(reference: Reference) -> str:
    name = reference.name
    package, *_ = steps = reference.module.split(".")
    if ">" in name:
        return _registered(name)  # no module has anything of such a name
    if name in CLASSES or name in PURE or (package in HUBS and name in HUB_CLASSES | HUB_FUNCTIONS):
        return ""
    if name in FUNCTIONS and not COMPUTING.isdisjoint(steps):
        return ""
    is_new = name.isidentifier() and name not in OTHERS | FUNCTIONS
    # A class is made by its from_config; a function is called with whatever the model has.
    is_class = name[:1].isupper() and not reference.is_function
    is_public = len(steps) == 2 and steps[1] in COMPUTING - {"backend"}
    return "unknown-keras-object" if is_new and (is_public or is_class) else "non-modelling"


def _of_builtins(name: str) -> str:
    """Keras takes one of its own functions of that name; before 3.9, whatever Python has."""
    if name in BY_NAME:
        return ""
    # Custom functions of an older Keras are said to be builtins.
    return "foreign-object" if hasattr(builtins, name) else "custom-object"


def _of_others(module: str, name: str, package: str) -> str:
    if _COMPUTING_LIBRARIES.fullmatch(module):
        computes = name.isidentifier() and not name.startswith("_") and name not in _NOT_COMPUTING
        return "library-function" if computes else "foreign-object"
    is_foreign = package in sys.stdlib_module_names or package in _NEVER
    return "foreign-object" if is_foreign else "custom-object"
