# SPDX-License-Identifier: Apache-2.0
"""Models whose names, words and texts are full of what other scanners look for."""

from __future__ import annotations

from pathlib import Path

from tests.inspection.corpus.harmless.writing import around, write_config

BAD_WORDS = (
    "os.system",
    "eval",
    "exec",
    "__import__",
    "builtins",
    "subprocess.Popen",
    "pickle.loads",
    "marshal",
    "base64",
    "lambda",
    "__lambda__",
    "Lambda",
    "TFSMLayer",
    "TorchModuleWrapper",
    "PyFunc",
    "ReadFile",
    "rm -rf *",
    "import os; os.system('true')",
    "get_file",
    "load_model",
    "http:evil.example",
    "c:.passwd",
    "__class__",
    "class_name",
    "registered_name",
    "shared_object_id",
    "__typespec__",
    "__numpy__",
    "function",
    "keras.utils.get_file",
    "<script>",
    "' or 1=1 --",
    "日本語",
    "naïve — “quotes”",
    "\u202eexe.yppah",
    "socket",
    "ctypes",
    "nc -e",
    "powershell",
    "requests",
    "webbrowser",
    "torch.load",
    "numpy.load",
    "allow_pickle",
    "runpy",
    "compile",
    "open",
    "globals",
    "getattr",
)


def write(folder: Path) -> None:
    """Write models with these words for names, in vocabularies, and as what users may state."""
    import keras

    layers = keras.layers
    for number, word in enumerate(BAD_WORDS):
        write_config(around(layers.Dense(3, name=word)), folder, f"layer-{number}")
        write_config(around(layers.Dense(3), name=word), folder, f"model-{number}")
    words = [word for word in BAD_WORDS if word.strip()]
    write_config(around(layers.StringLookup(vocabulary=words)), folder, "words")
    text = layers.TextVectorization(vocabulary=["eval", "exec", "os"], standardize=None)
    write_config(around(text), folder, "text")
    path_like = ["/etc/passwd", "http://evil.example/x", "../../x", "C:\\Windows", "gs://bucket/x"]
    write_config(around(layers.StringLookup(vocabulary=path_like)), folder, "paths-as-words")
    inputs = {word: keras.Input((1,), name=word) for word in ("eval", "exec", "lambda", "config")}
    joined = layers.Concatenate(name="class_name")(list(inputs.values()))
    write_config(keras.Model(inputs, {"function": joined}), folder, "inputs")
    compiled = keras.Model(inputs, {"function": layers.Dense(1, name="os")(joined)})
    metric = keras.metrics.MeanSquaredError(name="subprocess")
    compiled.compile(keras.optimizers.SGD(name="system"), "mse", metrics=[metric])
    write_config(compiled, folder, "compiled")
