# SPDX-License-Identifier: Apache-2.0
"""Bring the versions of an MLflow registry, and who uses them, into a registry of ours.

A version is registered by the digests of the Keras model among its artifacts, which are fetched and
read for it: what MLflow's database says of them is nobody's word. Its aliases and its stage become
promotions, signed by whoever brings it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from keras_integrity_hook import api, versions
from keras_integrity_hook.containers import recognition
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import (
    ConfigurationError,
    IntegrityError,
    NotAModelError,
    RegistryForkError,
    RegistryUnavailableError,
    SigningError,
)
from keras_integrity_hook.fleet.discovery import Role, model_files
from keras_integrity_hook.mlflow_registry import artifacts
from keras_integrity_hook.registry import contents
from keras_integrity_hook.registry.events import Body, Promoted, Registered
from keras_integrity_hook.registry.verdicts import Registration, Verdict
from keras_integrity_hook.verification import pinning

_PAGE = 1000
_OF_ALL = (ConfigurationError, RegistryForkError, RegistryUnavailableError, SigningError)
_UNUSED = ("", "None", "Archived")  # stages from which nobody loads


class Version(NamedTuple):
    """A version of a model in MLflow's registry.

    Attributes:
        stages: its aliases, and the stage that older clients gave it, in lower case.
        source: where its artifacts are, as MLflow says it.
    """

    model: str
    number: str
    stages: tuple[str, ...]
    source: str


class Brought(NamedTuple):
    """What became of one version.

    Attributes:
        state: ``registered``; ``known``: it was there before; ``not registered``.
        promoted: stages at which it is now, by this import.
        root: of its content, as reports show it; empty where there is none.
        error: why it is not registered, or not at all of its stages.
    """

    version: Version
    state: str
    promoted: tuple[str, ...] = ()
    root: str = ""
    error: IntegrityError | None = None


class Registry(Protocol):
    """The registry that they are brought into."""

    def tell(self, body: Body) -> object:
        """Have an event signed and put into the log. Raises EventRefusedError, RegistryError."""

    def ask(self, digests: Sequence[str]) -> Verdict:
        """What the registry knows of a content. Raises RegistryError."""


def bring(
    uri: str, only: Collection[str], registry: Registry, *, restage: bool = False
) -> Iterator[Brought]:
    """Bring each version of the MLflow registry at ``uri`` into ``registry``, lowest first.

    What is there already stays as it is, so that an import can be run again, and a version that was
    withdrawn here does not come back because an alias of MLflow's still leads to it.

    Args:
        only: names of the models to bring; empty for all.
        restage: promote what was there before, too.

    Raises:
        RegistryUnavailableError: ``registry`` does not answer.
        ConfigurationError: MLflow is not installed, or knows no registry at ``uri``.
    """
    for version in listed(uri, only):
        yield _brought(version, registry, restage=restage)


def listed(uri: str, only: Collection[str] = ()) -> list[Version]:
    """The versions that are in the MLflow registry at ``uri``; raises as :func:`bring`."""
    with _as_configuration_errors(uri):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        models = {model.name: model for model in _pages(client.search_registered_models)}
        found = [
            _version(client, models[one.name], one)
            for one in _pages(client.search_model_versions)
            if one.name in models and (not only or one.name in only)
        ]
    missing = sorted(set(only) - models.keys())
    if missing:
        raise ConfigurationError(f"MLflow has no registered model '{missing[0]}'", path=uri)
    return sorted(found, key=lambda one: (one.model, int(one.number)))


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _version(client: Any, model: Any, version: Any) -> Version:
    number = str(version.version)
    aliases = [alias for alias, at in model.aliases.items() if str(at) == number]
    stage = version.current_stage or ""
    staged = [] if stage in _UNUSED else [stage.lower()]
    source = client.get_model_version_download_uri(model.name, number)
    return Version(model.name, number, tuple(dict.fromkeys(sorted([*aliases, *staged]))), source)


def _brought(version: Version, registry: Registry, *, restage: bool) -> Brought:
    root = ""
    try:
        registered = registration(version)
        root = f"{registered.algorithm}:{registered.root}"
        known = _known(registry.ask((registered.root,)), registered)
        if known is None:
            registry.tell(registered)
    except IntegrityError as error:
        _stop_if_vain(error)
        return Brought(version, "not registered", root=root, error=error)
    if known is None:
        return _promoted(Brought(version, "registered", root=root), registered, (), registry)
    brought = Brought(version, "known", root=root)
    return _promoted(brought, registered, known.stages, registry) if restage else brought


def _promoted(
    brought: Brought, registered: Registered, here: Collection[str], registry: Registry
) -> Brought:
    """Promote it to the stages that it is not at; what is refused is told, and the rest goes on."""
    promoted: list[str] = []
    wrong: list[IntegrityError] = []
    for stage in (one for one in brought.version.stages if one not in here):
        subject = (registered.model, registered.version, registered.root)
        try:
            registry.tell(Promoted(*subject, stage))
            promoted.append(stage)
        except IntegrityError as error:
            _stop_if_vain(error)
            wrong.append(error)
    return brought._replace(promoted=tuple(promoted), error=wrong[0] if wrong else None)


def _known(verdict: Verdict, registered: Registered) -> Registration | None:
    same = versions.same(registered.version)
    for one in verdict.registrations:
        if (one.model, versions.same(one.version)) == (registered.model, same):
            return one
    return None


def _stop_if_vain(error: IntegrityError) -> None:
    """Go on after what is wrong with one version, and not after what is wrong with all."""
    if isinstance(error, _OF_ALL):
        raise error


def registration(version: Version) -> Registered:
    """What is to be registered of ``version``, computed from its artifacts.

    A model without a seal is registered by its content, which is what a load without a seal is
    recognised by.

    Raises:
        UnreadableFileError: the artifacts are not to be had.
        NotAModelError: no Keras model is among them, or more than one.
        ChecksumMismatchError, DamagedFileError: the model does not match its seal.
    """
    with artifacts.at_hand(version.source, version.model, version.number) as directory:
        path = _only_model(directory, version)
        with _with_seal(path) as model:
            return contents.registration(model, name=version.model, version=version.number)


@contextmanager
def _with_seal(path: str) -> Iterator[SealedModel]:
    """The model with its seal, or with the one that its content would have."""
    with api.opened(path) as model:
        if isinstance(model, SealedModel):
            yield model
            return
    with pinning.open_as_it_is(path, recognition.recognise(path)) as pinned:
        yield pinned


def _only_model(directory: str, version: Version) -> str:
    found = [one for one in model_files([directory]) if one.role is Role.MODEL]
    models = [one for one in found if not isinstance(one.error, NotAModelError)]
    where = f"models:/{version.model}/{version.number}"
    if len(models) != 1:
        count = "no Keras model is" if not models else f"{len(models)} Keras models are"
        remedy = "Register what it is with 'keras-integrity registry register PATH'."
        raise NotAModelError(f"{count} among the artifacts", path=where, remedy=remedy)
    if models[0].error is not None:
        raise models[0].error
    return models[0].path


@contextmanager
def _as_configuration_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        cause = "MLflow is not installed here"
        remedy = "Install this package with its extra 'mlflow', where the registry can be reached."
        raise ConfigurationError(cause, path=uri, remedy=remedy) from None
    except IntegrityError:
        raise
    except Exception as error:  # of MLflow, of its database, of the network
        cause = f"MLflow's registry cannot be read ({type(error).__name__}: {error})"
        raise ConfigurationError(cause[:500], path=uri) from error
