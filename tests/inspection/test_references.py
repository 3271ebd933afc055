# SPDX-License-Identifier: Apache-2.0
"""What a reference resolves to, held against the Keras and its relatives that are installed."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from keras_integrity_hook.inspection import gadgets, references
from keras_integrity_hook.inspection.references import Reference, judged


def of_class(module: str, name: str, registered: str = "") -> str:
    return judged(Reference(module, name, registered, False))


def of_function(module: str, name: str, registered: str = "") -> str:
    return judged(Reference(module, name, registered, True))


def test_every_class_that_keras_makes_from_a_configuration_is_fine(keras: Any) -> None:
    from keras.src import api_export
    from keras.src.saving.keras_saveable import KerasSaveable

    exported = api_export.REGISTERED_NAMES_TO_OBJS.items()
    found = {
        path: of_class(path.rpartition(".")[0], path.rpartition(".")[2])
        for path, value in exported
        if inspect.isclass(value) and issubclass(value, KerasSaveable)
    }
    assert len(found) > 200
    assert {path: rule for path, rule in found.items() if rule} == {}


def test_every_class_of_keras_is_fine_where_it_is_defined(keras: Any) -> None:
    """What is not exported has the module that defines it in its configuration: operations."""
    from keras.src.saving.keras_saveable import KerasSaveable

    pending, found = [KerasSaveable], {}
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if cls.__module__.startswith("keras."):
            found[cls] = of_class(cls.__module__, cls.__name__, cls.__name__)
    assert len(found) > 400
    assert {cls: rule for cls, rule in found.items() if rule} == {}


def test_functions_that_keras_itself_names_as_no_part_of_a_model_are_refused(keras: Any) -> None:
    library = pytest.importorskip("keras.src.saving.serialization_lib")
    if not hasattr(library, "NON_MODELING_APIS"):
        pytest.skip("this Keras has no list of them")
    found = {
        path: of_function(path.rpartition(".")[0], path.rpartition(".")[2])
        for path in library.NON_MODELING_APIS
    }
    assert set(found.values()) == {"non-modelling"}


def test_exported_functions_that_open_or_fetch_are_refused(keras: Any) -> None:
    from keras.src import api_export

    words = (
        "load",
        "save",
        "file",
        "fetch",
        "download",
        "unsafe",
        "write",
        "read",
        "plot",
        "export",
    )
    opening = [
        path
        for path, value in api_export.REGISTERED_NAMES_TO_OBJS.items()
        if inspect.isfunction(value) and any(word in value.__name__ for word in words)
    ]
    assert len(opening) > 15
    fine = [p for p in opening if not of_function(p.rpartition(".")[0], p.rpartition(".")[2])]
    assert fine == []


def test_functions_that_compute_are_fine_by_their_public_and_by_their_inner_name(
    keras: Any,
) -> None:
    functions = [
        *(getattr(keras.activations, name) for name in ("relu", "gelu", "softmax")),
        *(getattr(keras.ops, name) for name in ("sum", "matmul", "softmax", "map")),
        *(getattr(keras.losses, name) for name in ("mean_squared_error",)),
    ]
    for function in functions:
        assert not of_function(function.__module__, function.__name__, function.__name__)
    assert not of_function("keras.ops", "sum")
    assert not of_function("builtins", "relu", "relu")


@pytest.mark.parametrize("name", ["tf_keras", "keras_hub"])
def test_classes_of_relatives_are_fine(keras: Any, name: str) -> None:
    package = pytest.importorskip(name)
    places = ["layers", "losses", "metrics", "optimizers", "initializers", "models"]
    found = {}
    for place in filter(None, (getattr(package, one, None) for one in places)):
        for key, value in vars(place).items():
            if inspect.isclass(value) and hasattr(value, "from_config"):
                found[key] = of_class(f"{name}.{place.__name__.rpartition('.')[2]}", key)
    assert len(found) > 100
    assert {key: rule for key, rule in found.items() if rule} == {}


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "exec")),
        *(("posix", "system"), ("nt", "system"), ("importlib", "import_module"), ("pip", "main")),
        *(("numpy", "load"), ("torch", "load"), ("tensorflow", "py_function"), ("pickle", "loads")),
        *(("tensorflow.python.ops.io_ops", "write_file"), ("setuptools.sandbox", "run_setup")),
        *(("tensorflow.python.ops.gen_io_ops", "write_file"), ("jax", "pure_callback")),
        *(("builtins", "getattr"), ("builtins", "__import__"), ("webbrowser", "open")),
    ],
)
def test_code_of_python_and_its_libraries_is_foreign(module: str, name: str) -> None:
    for reference in (
        of_class(module, name),
        of_function(module, name),
        of_class(module, "x", name),
    ):
        assert reference == "foreign-object"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("tensorflow.python.ops.summary_ops_v2", "create_file_writer_v2"), ("jax.numpy", "save")),
        *(("tensorflow.python.ops.gen_experimental_dataset_ops", "save_dataset"),),
        *(("tensorflow.python.ops.gen_checkpoint_ops", "load_and_remap_matrix"),),
        *(("tensorflow.python.ops.gen_lookup_ops", "initialize_table_from_text_file"),),
        *(("jax._src.numpy.lax_numpy", "load"), ("tensorflow.nnx", "relu")),
        *(("tensorflow.python.ops.nn_ops", "_private"), ("jax.lax", "infeed")),
    ],
)
def test_what_reads_and_writes_among_functions_that_compute_is_foreign(
    module: str, name: str
) -> None:
    assert of_class(module, name) == of_function(module, name) == "foreign-object"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("tensorflow.python.ops.nn_ops", "relu6"), ("tensorflow.nn", "swish")),
        *(("tensorflow.python.ops.gen_nn_ops", "relu"), ("jax.nn", "gelu")),
        *(("jax._src.nn.functions", "relu"), ("torch.nn.functional", "hardswish")),
        *(("tensorflow.python.ops.math_ops", "tanh"), ("tensorflow_addons.activations", "mish")),
    ],
)
def test_functions_of_libraries_that_compute_are_told(module: str, name: str) -> None:
    assert of_function(module, name) == "library-function"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("keras.src.utils.python_utils", "func_load"), ("keras.utils", "get_file")),
        *(("keras.config", "enable_unsafe_deserialization"), ("keras.models", "load_model")),
        *(("keras.src.saving.saving_lib", "load_model"), ("keras.saving", "KerasFileEditor")),
        *(("keras.callbacks", "TensorBoard"), ("keras.src.utils.file_utils", "h5py")),
        *(("tf_keras.utils", "get_file"), ("tensorflow.keras.utils", "get_file")),
        *(("keras_hub.src.utils.preset_utils", "load_json"), ("keras.datasets.mnist", "load_data")),
        *(("keras.layers", "deserialize"), ("keras.src.utils.torch_utils", "torch")),
        *(
            ("keras.src.backend", "eval"),
            ("keras.utils", "../../x"),
            ("keras.ops.numpy", "os.system"),
        ),
    ],
)
def test_what_else_keras_has_is_no_part_of_a_model(module: str, name: str) -> None:
    assert of_function(module, name) == "non-modelling"
    assert of_class(module, name) == "non-modelling"


def test_packages_that_come_with_keras_and_tensorflow_are_foreign() -> None:
    """By the names that they are imported by, which are not always those of their distributions."""
    for module in ("pasta.base.codegen", "clang.cindex", "astunparse.printer", "mdurl._parse"):
        assert of_function(module, "x") == of_class(module, "X") == "foreign-object"
    for module in ("_pytest.pathlib", "_distutils_hack.override", "coverage.execfile", "seccomp"):
        assert of_function(module, "x") == "foreign-object"


def test_another_name_that_it_was_registered_under_counts_as_well() -> None:
    """Custom objects come first; and older versions look it up in the module."""
    assert of_class("keras.layers", "Dense", "my_pkg>Evil") == "custom-object"
    assert of_class("keras.src.utils.python_utils", "Nothing", "func_load") == "non-modelling"
    assert of_class("keras.layers", "Dense", "get_file") == "non-modelling"
    assert of_class("os", "Dense", "my_pkg>Fine") == "foreign-object"
    assert not of_class("keras_hub.models", "BertBackbone", "keras_hub>BertBackbone")


def test_custom_objects_can_be_allowed_by_the_name_that_they_are_registered_under() -> None:
    assert Reference("my_pkg.layers", "Scale", "my_pkg>Scale", False).full_name == "my_pkg>Scale"
    assert Reference("", "my_pkg>Scale", "", False).full_name == "my_pkg>Scale"
    assert Reference("__main__", "Scale", "", False).full_name == "__main__>Scale"
    for name in ("my_pkg>Scale", "Scale"):
        assert of_class("", name) == "custom-object"


def test_functions_of_a_program_are_told_by_the_names_that_allow_them() -> None:
    """Keras writes that they are of the module ``builtins``, which they are not."""
    for name in ("my_pkg>scaled", "scaled"):
        function = Reference("builtins", name, "", True)
        assert str(function) == function.full_name == name
    assert str(Reference("builtins", "eval", "", True)) == "builtins>eval"


def test_bare_names_are_those_of_legacy_formats() -> None:
    assert not of_class("", "Dense")
    assert not of_class("", "BatchNormalizationV1")
    assert of_class("", "deserialize") == "non-modelling"


def test_a_newer_keras_may_have_more_layers_and_functions_that_compute() -> None:
    assert of_class("keras.layers", "FutureLayer") == "unknown-keras-object"
    assert of_function("keras.ops", "future_sum") == "unknown-keras-object"
    assert of_function("keras.layers", "future_function") == "non-modelling"
    assert of_function("keras.utils", "FutureReader") == "non-modelling"
    assert of_class("keras.utils", "FutureReader") == "unknown-keras-object"


def test_every_gadget_is_a_class_that_the_tables_have() -> None:
    """Or it would be refused as unknown, and this list be without effect."""
    assert {name for name in gadgets.CLASSES if of_class("keras.layers", name)} <= {
        *("WordPieceTokenizer", "BytePairTokenizer", "SentencePieceTokenizer"),
        *("VocabularyFileCategoricalColumn", "EmbeddingColumn"),
    }
    assert set(references.CODE) <= gadgets.CLASSES
