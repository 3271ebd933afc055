# SPDX-License-Identifier: Apache-2.0
"""huggingface_hub: a snapshot in its cache, whose files are links to blobs; nothing is fetched."""

import hashlib
import os
from pathlib import Path
from typing import Any

USES = ["huggingface-hub"]
COMMIT = "0" * 39 + "1"


def save(model: Any, data: Any, where: Path) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"
    repository = where / "hub" / "models--team--churn"
    for name in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (repository / name).mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    model.save(where / "made.keras")
    digest = hashlib.sha256((where / "made.keras").read_bytes()).hexdigest()
    (where / "made.keras").rename(repository / "blobs" / digest)
    link = repository / "snapshots" / COMMIT / "model.keras"
    link.symlink_to(f"../../blobs/{digest}")


def load(where: Path) -> None:
    import huggingface_hub
    import keras

    path = huggingface_hub.hf_hub_download("team/churn", "model.keras", cache_dir=where / "hub")
    keras.saving.load_model(path)
