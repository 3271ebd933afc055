# SPDX-License-Identifier: Apache-2.0
"""A registry, the models that it knows, and a machine of the fleet that asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_integrity_hook import api
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.registry import contents
from keras_integrity_hook.registry.client import asking
from keras_integrity_hook.registry.events import Promoted, Recalled, Registered, Withdrawn
from tests.support.registries import Cast, promotion
from tests.support.stores import Kept


class Fleet(Kept):
    """A registry in a database of its own, with a policy file that names it.

    Attributes:
        policy: the file; the project's, where the test says so.
    """

    def __init__(self, directory: Path, url: str | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(url or f"sqlite:///{directory}/registry.db", Cast(directory))
        self.found()
        self.policy = directory / "policy.toml"
        self.demand()

    @property
    def id(self) -> str:
        return self.cast.registry

    def demand(self, url: str | None = None, **settings: Any) -> None:
        """Demand that models be registered; ``settings`` are other ones or other values. A question
        may take longer than it may by default: the machine may be busy."""
        named = {"require": "registered", "registry": url or self.url, "registry_id": self.id}
        named["registry_timeout"] = "30s"
        lines = [f"{name} = {_toml(value)}\n" for name, value in {**named, **settings}.items()]
        self.policy.write_text("".join(lines))

    def register(self, path: Path, model: str | None = None, version: str | None = None) -> Any:
        """Register what is at ``path``, as its seal says or under this name."""
        body = registration_of(path, model, version)
        self.add(body, "carol")
        return body

    def promote(self, body: Registered, stage: str = "production", **said: bool) -> Promoted:
        """Let a version be used at a stage."""
        promoted = promotion(body, stage, **said)
        self.add(promoted, *(("alice", "bob") if stage == "production" else ("carol",)))
        return promoted

    def withdraw(self, body: Registered, stage: str = "production") -> None:
        self.add(Withdrawn(body.model, body.version, body.root, stage), "alice", "bob")

    def recall(self, target: str, reason: str = "poisoned", **also: Any) -> Recalled:
        """Recall a content, by whichever digest, or a key (``kind="key"``)."""
        body = Recalled(also.pop("kind", "root"), target, reason, **also)
        self.add(body, "carol")
        return body


def registration_of(path: Path, model: str | None = None, version: str | None = None) -> Registered:
    """What a registration of the sealed model at ``path`` says."""
    with api.opened(path) as opened:
        assert isinstance(opened, SealedModel)
        return contents.registration(opened, name=model, version=version)


def forget_what_was_said() -> None:
    """Be another process: what this one knows is what it would find on the disk."""
    asking._known.clear()


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'
