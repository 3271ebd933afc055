# SPDX-License-Identifier: Apache-2.0
"""Log, register, promote and load a model with MLflow, and have it checked at each step.

Needs MLflow, TensorFlow and the extra ``registry``. What a server would do once for everybody, this
script does for itself: docs/mlflow.md and docs/registry.md have how.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np

import keras_integrity_hook

COMMAND = [sys.executable, "-m", "keras_integrity_hook.cli"]
MLFLOW, FLEET = "sqlite:///mlflow.db", "sqlite:///fleet.db"
BATCH = np.zeros((1, 4), "float32")


def run(*arguments: str) -> str:
    done = subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def log(bias: float) -> str:
    """Save and register a model; the number of its version."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.layers[0].bias.assign([bias])
    with mlflow.start_run():
        logged = mlflow.tensorflow.log_model(
            model, name="model", registered_model_name="churn", pip_requirements=["keras"]
        )
    return str(logged.registered_model_version)


# Who signs, and who is believed.
run("keygen", "--no-passphrase", "release")
run("trust", "add", "release-team", "release.pub")
os.environ["KERAS_INTEGRITY_KEY"] = "release"

# 1. Logged and registered: what MLflow saves is sealed and signed, and the version says so.
mlflow.set_tracking_uri(MLFLOW)
mlflow.set_registry_uri(f"keras-integrity+{MLFLOW}")
client = mlflow.MlflowClient()
good, bad = log(1.0), log(2.0)
tags = client.get_model_version("churn", good).tags
print(f"version {good}: {tags['keras_integrity.assurance']} by {tags['keras_integrity.signers']}")

# 2. Promoted: an alias is set on what passes, and on nothing else.
client.set_registered_model_alias("churn", "production", good)
print(f"production is version {client.get_model_version_by_alias('churn', 'production').version}")
where = mlflow.artifacts.download_artifacts(f"models:/churn/{bad}")
(damaged,) = Path(where).rglob("*.keras")
content = bytearray(damaged.read_bytes())
content[len(content) // 2] ^= 1
damaged.write_bytes(content)
try:
    client.set_registered_model_alias("churn", "production", bad)
except mlflow.MlflowException as error:
    print("refused:", str(error).partition(". ")[0])

# 3. Known to the fleet: what MLflow has becomes events that somebody signs.
founded = run(
    *("registry", "init", "--registry", FLEET, "--origin", "models.example.com/log"),
    *("--admin", "release-team", "--key", "release", "--json"),
)
imported = subprocess.run(
    [*COMMAND, "registry", "import", "mlflow", MLFLOW, "--registry", FLEET, "--json"],
    check=False,  # the damaged version is not registered, and the status says so
    capture_output=True,
    text=True,
)
for one in json.loads(imported.stdout)["versions"]:
    print(f"version {one['version']}: {one['state']}", *one["promoted"])

# 4. Loaded, as a Python function: where models are used, nothing else is.
os.environ["KERAS_INTEGRITY_REQUIRE"] = "signed+registered"
os.environ["KERAS_INTEGRITY_REGISTRY"] = FLEET
os.environ["KERAS_INTEGRITY_REGISTRY_ID"] = json.loads(founded)["registry_id"]
os.environ["KERAS_INTEGRITY_STAGES"] = "production"
prediction = mlflow.pyfunc.load_model("models:/churn@production").predict(BATCH)
print("loaded:", float(np.asarray(prediction)[0, 0]))

# 5. A version that nobody has registered is good for nothing, whoever signed it.
del os.environ["KERAS_INTEGRITY_REQUIRE"]
newest = log(3.0)
os.environ["KERAS_INTEGRITY_REQUIRE"] = "signed+registered"
try:
    mlflow.pyfunc.load_model(f"models:/churn/{newest}")
except keras_integrity_hook.UnregisteredModelError as error:
    print("refused:", error.cause)

# 6. One that is recalled is no longer loaded, wherever it lies.
run("registry", "recall", "churn", good, "--reason", "a leak in its data", "--registry", FLEET)
try:
    mlflow.pyfunc.load_model("models:/churn@production")
except keras_integrity_hook.RecalledModelError as error:
    print("recalled:", error.cause)
