# SPDX-License-Identifier: Apache-2.0
"""What a guarded registry does otherwise than the one it guards."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from keras_integrity_hook import notices, settings
from keras_integrity_hook.errors import IntegrityError, printable
from keras_integrity_hook.mlflow_registry import artifacts
from keras_integrity_hook.mlflow_registry.verdict import NAMES, TAG, Verdict, judge
from keras_integrity_hook.policy import refusal
from keras_integrity_hook.settings import Mode

_UNUSED = ("None", "Archived")  # stages from which nobody loads
_REMEDY = "Restore the artifact from a trusted copy, or log the model anew, then set it again."


def guarded(build: Callable[..., Any], uri: str, tracking_uri: str | None) -> Any:
    """The registry that ``build`` makes of ``uri``, an object of our own, guarded.

    It stays one of its class, which MLflow asks for, and what that class does by calling itself
    (a copy of a version, an alias of a prompt) is guarded as well.
    """
    takes = inspect.signature(build).parameters
    known = {"store_uri": uri, "tracking_uri": tracking_uri}
    everything = any(one.kind is one.VAR_KEYWORD for one in takes.values())
    inner = build(**{key: text for key, text in known.items() if everything or key in takes})
    inner.__class__ = type(f"Guarded{type(inner).__name__}", (Guard, type(inner)), {})
    return inner


class Guard:
    """Methods of MLflow's ``AbstractStore`` that are guarded, to stand before those of a class."""

    def create_model_version(
        self: Any,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Sequence[Any] | None = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        """As MLflow's, and the version gets the tags that say what was found in it.

        It is created whatever that is: a registry is also where people look a refusal up.
        """
        others = [tag for tag in tags or () if not tag.key.startswith(TAG)]
        made = super().create_model_version(name, source, run_id, others, *rest, **more)  # type: ignore[misc]
        if _is_prompt(made) or settings.mode() is Mode.OFF:
            return made
        _examine(self, made)
        return self.get_model_version(name, made.version)

    def set_registered_model_alias(self: Any, name: str, alias: str, version: str) -> None:
        """As MLflow's, for a version that passes the policy.

        Raises:
            MlflowException: it does not (``PERMISSION_DENIED``); the alias is as it was.
        """
        _refuse_failing(self, name, version, f"the alias '{alias}' is not set")
        super().set_registered_model_alias(name, alias, version)  # type: ignore[misc]

    def transition_model_version_stage(
        self: Any, name: str, version: str, stage: str, *rest: Any, **more: Any
    ) -> Any:
        """As MLflow's; a stage from which people load is refused as an alias is."""
        if stage.title() not in _UNUSED:
            _refuse_failing(self, name, version, f"the stage '{stage}' is not set")
        return super().transition_model_version_stage(name, version, stage, *rest, **more)  # type: ignore[misc]

    def rename_registered_model(self: Any, name: str, new_name: str) -> Any:
        """As MLflow's, where what people load passes under the new name: rules go by names.

        Raises:
            MlflowException: it does not (``PERMISSION_DENIED``); the name is as it was.
        """
        model = self.get_registered_model(name)
        staged = [one for one in model.latest_versions or () if one.current_stage not in _UNUSED]
        in_use = {*map(str, model.aliases.values()), *(str(one.version) for one in staged)}
        for version in sorted(in_use):
            what = f"the model is not renamed '{new_name}'"
            _refuse_failing(self, name, version, what, known_as=new_name)
        return super().rename_registered_model(name, new_name)  # type: ignore[misc]

    def set_model_version_tag(self: Any, name: str, version: str, tag: Any) -> None:
        """As MLflow's, but for our own tags, which say what was found and not what is wished."""
        _refuse_ours(tag.key)
        super().set_model_version_tag(name, version, tag)  # type: ignore[misc]

    def delete_model_version_tag(self: Any, name: str, version: str, key: str) -> None:
        """As MLflow's, but for our own tags."""
        _refuse_ours(key)
        super().delete_model_version_tag(name, version, key)  # type: ignore[misc]


def _is_prompt(version: Any) -> bool:
    """Whether nothing can be loaded from ``version``: its source is MLflow's word for a prompt."""
    from mlflow.prompt.constants import _PROMPT_SOURCE_PLACEHOLDERS

    return version.source in _PROMPT_SOURCE_PLACEHOLDERS


def _refuse_failing(
    store: Any, name: str, version: str, what: str, *, known_as: str | None = None
) -> None:
    """Look at the artifacts as they are now; what an earlier look found is not relied on.

    Args:
        known_as: under the rules for another name than the model has.
    """
    found = store.get_model_version(name, version)
    if _is_prompt(found) or settings.mode() is Mode.OFF:
        return
    cause = _examine(store, found, known_as)
    if cause is None and _made(store.get_model_version(name, version)) != _made(found):
        cause = "it was deleted and made anew while it was checked"
    if cause is None:
        return
    where = printable(f"models:/{name}/{version}")
    what = printable(what)
    if settings.mode() is Mode.WARN:
        notices.warn(f"{where}: {cause}")
        return
    raise _denied(f"{where}: {what}: {cause}. {_REMEDY}")


def _made(version: Any) -> tuple[Any, ...]:
    """What another version that has the same number later does not have in common with it."""
    return version.source, version.creation_timestamp


def _examine(store: Any, version: Any, known_as: str | None = None) -> str | None:
    """Check the artifacts of ``version``, record it, and tag it; why it fails, or None.

    Args:
        known_as: look at it as a version of a model of this name, and leave the tags alone.
    """
    name, number = version.name, str(version.version)
    try:
        uri = store.get_model_version_download_uri(name, number)
        with artifacts.at_hand(uri, known_as or name, number) as directory:
            verdict = judge(directory)
    except IntegrityError as error:
        verdict = Verdict({}, {".": error})
    for path, refused in verdict.errors.items():
        refused.path = f"models:/{name}/{number}" + ("" if path == "." else f"/{path}")
        refused.default_remedy = _REMEDY
        refusal.tell(refused)
    if known_as is None:
        _tag(store, version, verdict.tags())
    return verdict.cause


def _tag(store: Any, version: Any, wanted: dict[str, str]) -> None:
    """Write what differs: a server that is guarded itself keeps these tags and takes none."""
    from mlflow.entities.model_registry import ModelVersionTag

    plain: Any = super(Guard, store)
    name, number, there = version.name, str(version.version), version.tags
    for key in (TAG + name for name in NAMES):
        if key in wanted and there.get(key) != wanted[key]:
            plain.set_model_version_tag(name, number, ModelVersionTag(key, wanted[key]))
        elif key in there and key not in wanted:
            plain.delete_model_version_tag(name, number, key)


def _refuse_ours(key: str) -> None:
    if key.startswith(TAG):
        raise _denied(f"the tag {key} says what was found, and is set by the registry")


def _denied(message: str) -> Any:
    """MLflow's own error, which its server hands on to the client as status 403."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    return MlflowException(message, PERMISSION_DENIED)
