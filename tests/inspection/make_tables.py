# SPDX-License-Identifier: Apache-2.0
"""Make ``inspection/keras_names.py``: what Keras and its relatives are made of, from their wheels.

``python tests/inspection/make_tables.py WHEEL...`` reads the sources in the wheels and imports
nothing. The tables are the union over all of them, so a name is in one of them only if nothing that
any version has under that name does more than a model needs.

A class counts if one of its bases is a root of Keras's objects, or if it has a ``from_config`` of
its own. A function counts if it is exported from a module whose functions compute.
"""

from __future__ import annotations

import ast
import sys
import textwrap
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TARGET = Path(__file__).parents[2] / "keras_integrity_hook" / "inspection" / "keras_names.py"
HUB = ("keras_hub", "keras_nlp", "keras_cv")

ROOTS = {
    *("KerasSaveable", "Layer", "Loss", "Metric", "Optimizer", "Initializer", "Constraint"),
    *("Regularizer", "LearningRateSchedule", "DTypePolicy", "Quantizer", "Operation"),
    *("OptimizerV2", "LossFunction", "Model", "FeatureSpace", "BaseRandomLayer", "Policy"),
}
BY_NAME = {
    *("activations", "constraints", "initializers", "losses", "metrics", "optimizers"),
    "regularizers",
}
"""Where Keras looks for what a configuration calls a function of ``builtins``."""

COMPUTING = BY_NAME | {"ops", "random", "backend"}
"""Modules of the public API whose functions compute, and touch nothing else."""

NOT_COMPUTING = {
    *("get", "serialize", "deserialize", "clear_session", "set_learning_phase", "get_uid"),
    *("set_image_data_format", "set_floatx", "set_epsilon", "reset_uids", "function"),
    *("backend", "learning_phase_scope", "manual_variable_initialization", "set_session"),
    *("get_session", "name_scope", "device", "print_tensor", "convert_to_numpy", "eval"),
    *("get_value", "set_value", "batch_get_value", "batch_set_value", "track_variable"),
    *("variable", "placeholder", "disable_tf_random_generator", "enable_tf_random_generator"),
    *("is_tf_random_generator_enabled", "convert_to_legacy_optimizer"),
}
"""Functions of those modules that do something else."""

PURE = {"preprocess_input", "to_categorical", "normalize", "pad_sequences", "standardize_dtype"}
"""Functions of other modules that compute, wherever they are exported."""


@dataclass
class Names:
    """What was found so far."""

    classes: dict[bool, set[str]] = field(default_factory=lambda: defaultdict(set))
    by_name: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    hub_functions: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)


def main() -> None:
    found = Names()
    for wheel in map(Path, sys.argv[1:]):
        _add(found, list(_modules(wheel)), is_hub=wheel.name.startswith(HUB))
    TARGET.write_text(_rendered(found))


def _modules(wheel: Path) -> Iterator[tuple[str, ast.Module]]:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            skipped = "test" in name or "/api/" in name or "/tools/" in name
            if name.endswith(".py") and not skipped:
                yield name[:-3].replace("/", "."), ast.parse(archive.read(name))


def _add(found: Names, sources: list[tuple[str, ast.Module]], *, is_hub: bool) -> None:
    saveable = _saveable(sources)
    found.classes[is_hub] |= saveable
    for module, tree in sources:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                target = found.classes[is_hub] if node.name in saveable else found.others
                target |= {path.rpartition(".")[2] for path in _exports(node)}
            elif isinstance(node, ast.FunctionDef):
                _add_function(found, node, is_hub=is_hub)
        if module.endswith((".src.layers.__init__", ".src.layers.serialization")):
            for name, original in _namespace(tree):
                (found.classes[is_hub] if original in saveable else found.others).add(name)


def _add_function(found: Names, node: ast.FunctionDef, *, is_hub: bool) -> None:
    if is_hub and _is_registered(node):
        found.hub_functions.add(node.name)
    for path in _exports(node):
        *above, name = path.split(".")
        if name in PURE:
            found.functions |= {name, node.name}
        elif is_hub or name in NOT_COMPUTING or not COMPUTING & set(above):
            found.others.add(name)
        else:
            found.functions |= {name, node.name}
            if BY_NAME & set(above):
                found.by_name.add(name)


def _saveable(sources: list[tuple[str, ast.Module]]) -> set[str]:
    """Names of the classes that Keras makes from a configuration."""
    bases: dict[str, set[str]] = defaultdict(set)
    saveable = set(ROOTS)
    for _, tree in sources:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases[node.name] |= {_last(base) for base in node.bases}
                methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
                if "from_config" in methods:
                    saveable.add(node.name)
    while True:
        more = {name for name, above in bases.items() if above & saveable} - saveable
        if not more:
            return {name for name in saveable if name in bases}
        saveable |= more


def _exports(node: ast.FunctionDef | ast.ClassDef) -> Iterator[str]:
    """The public paths that a decorator gives it."""
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and _last(decorator.func).endswith("_export"):
            for value in ast.walk(decorator):
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def _is_registered(node: ast.FunctionDef) -> bool:
    return any(_last(one) == "register_keras_serializable" for one in node.decorator_list)


def _namespace(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What is in the module in which legacy loaders look names up, and its original name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node.name


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return _last(node.func)
    return node.id if isinstance(node, ast.Name) else ""


def _rendered(found: Names) -> str:
    classes, hub = found.classes[False], found.classes[True]
    known = classes | hub | found.functions | found.hub_functions
    others = {name for name in found.others - known if not name.startswith("_")}
    tables = (
        ("CLASSES", classes, "Classes that Keras 3 and tf_keras make from a configuration."),
        ("HUB_CLASSES", hub - classes, "Those that KerasHub, KerasNLP and KerasCV add."),
        ("BY_NAME", found.by_name, "Functions that a configuration may name as of ``builtins``."),
        ("FUNCTIONS", found.functions, "Exported functions that compute and do nothing else."),
        ("HUB_FUNCTIONS", found.hub_functions, "Those that KerasHub and its kin have registered."),
        ("PURE", PURE, "Those that compute wherever they are exported."),
        ("COMPUTING", COMPUTING, "Modules of which the others are."),
        ("OTHERS", others, "What else is exported, or found where names are looked up."),
    )
    text = (
        "# SPDX-License-Identifier: Apache-2.0\n"
        '"""What Keras, tf_keras and KerasHub are made of, by name: read, never imported.\n\n'
        'Made by tests/inspection/make_tables.py from their wheels; do not edit.\n"""\n\n'
        "from __future__ import annotations\n"
    )
    for name, names, doc in tables:
        lines = textwrap.fill(" ".join(sorted(names)), 98, break_on_hyphens=False)
        text += f'\n_{name} = """\n{lines}\n"""\n{name} = frozenset(_{name}.split())\n"""{doc}"""\n'
    return text


if __name__ == "__main__":
    main()
