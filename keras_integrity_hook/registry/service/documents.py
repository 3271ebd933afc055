# SPDX-License-Identifier: Apache-2.0
"""Rows of the store as JSON objects, with a schema of their own in the OpenAPI document."""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints

from pydantic import BaseModel, create_model

from keras_integrity_hook.registry.store import ModelRow, RecallRow, VersionRow


def _document(row: type[NamedTuple], name: str) -> type[BaseModel]:
    fields: dict[str, Any] = {field: (kind, ...) for field, kind in get_type_hints(row).items()}
    return create_model(name, **fields)


ModelDocument = _document(ModelRow, "Model")
VersionDocument = _document(VersionRow, "Version")
RecallDocument = _document(RecallRow, "Recall")


class Models(BaseModel):
    """A page of models.

    ``next`` is the ``after`` of the next page, or null.
    """

    models: list[ModelDocument]  # type: ignore[valid-type]
    next: str | None


class Versions(BaseModel):
    """A model, and a page of its versions, those registered last first.

    ``next`` is the ``before`` of the next page, or null.
    """

    model: ModelDocument  # type: ignore[valid-type]
    versions: list[VersionDocument]  # type: ignore[valid-type]
    next: int | None


class Recalls(BaseModel):
    """A page of the recalls in force, the last first; ``next`` as of versions."""

    recalls: list[RecallDocument]  # type: ignore[valid-type]
    next: int | None


class ProblemDocument(BaseModel):
    """What went wrong (RFC 9457). ``code`` is a word that stays; ``evidence`` is of the error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    remedy: str
    evidence: dict[str, Any]
