# SPDX-License-Identifier: Apache-2.0
"""Step 5c of a load, where a policy asks for it: has this model been loaded in a sandbox?

What passed once passes again, as long as its content and the libraries that load it are the same:
a verdict is kept (``verdicts``). What did not pass is tried again each time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from keras_integrity_hook import audit
from keras_integrity_hook._version import __version__
from keras_integrity_hook.containers import formats, kinds
from keras_integrity_hook.containers.model_file import SealedModel
from keras_integrity_hook.errors import IntegrityError, SandboxUnavailableError
from keras_integrity_hook.loading import caller, verdicts
from keras_integrity_hook.loading.caller import Caller
from keras_integrity_hook.policy import admission, evidence, refusal
from keras_integrity_hook.policy.admission import Admitted
from keras_integrity_hook.settings import Sandbox, Settings
from keras_integrity_hook.verification import pinning
from keras_integrity_hook.verification.holding import Verified


def is_asked_for(admitted: Admitted, *named: str) -> bool:
    """Whether the policy wants ``admitted`` to have been tried.

    Weights alone are not: nothing of them is run, and an inspection has read their headers.

    Args:
        named: more paths that it is loaded by.
    """
    if admitted.model.container in formats.OF_WEIGHTS:
        return False
    is_graph = admitted.model.container == kinds.SAVED_MODEL.container
    if caller.current().takes_weights_alone and not is_graph:
        return False
    demands = admission.demands_on(admitted.model, *named)
    return any(_asks(one, admitted) for one in demands)


def pinned(admitted: Admitted) -> Admitted:
    """``admitted`` with its seal; without one, under a seal that pins its content: what is tried
    has to be what is loaded afterwards.

    Raises:
        DamagedFileError: it became shorter, or a file was taken away, while it was read.
    """
    model = admitted.model
    if isinstance(model, SealedModel):
        return admitted
    return admitted._replace(model=pinning.pinned(model), otherwise="tried in a sandbox")


def require(verified: Verified) -> None:
    """Have ``verified`` loaded in a sandbox, unless it was before. It stays as it is.

    Raises:
        SandboxUnavailableError: no process can be confined here, or none can load such a model.
        SandboxViolationError, SandboxLimitError, SandboxedModelError: it did not pass; in mode
            ``warn`` that is only reported.
    """
    facts = _facts(verified.model, caller.current())
    if verdicts.has_passed(facts):
        return
    try:
        _try(verified, caller.current())
    except IntegrityError as error:
        error.path = error.path or verified.model.path
        if refusal.is_refused(error):
            raise
        return
    verdicts.keep(facts)


def _asks(demands: Settings, admitted: Admitted) -> bool:
    if demands.sandbox is not Sandbox.UNSIGNED:
        return demands.sandbox is Sandbox.ALWAYS
    seal = admitted.model.seal
    return not admitted.signers and (seal is None or not evidence.signers_of(seal, demands))


def _try(verified: Verified, called: Caller) -> None:
    host = _host(verified.model, called)
    if not host:
        raise SandboxUnavailableError(
            f"a model of the kind {verified.model.container} is loaded by no package of the "
            "sandbox alone, and cannot be tried there",
            remedy='A rule with sandbox = "off" for its path lets it be loaded without.',
        )
    from keras_integrity_hook.isolation import model_bytes, trial

    files = model_bytes.of_verified(verified)
    try:
        versions = trial.try_load(files, host=host, options=_options(host, called))
    finally:
        files.close()
    facts = {"libraries": versions}
    audit.record("trial", verified.model.path, outcome="ok", **facts)


def _host(model: SealedModel, called: Caller) -> str:
    """The package that loads in the sandbox, as it would here."""
    from keras_integrity_hook.isolation import hosts

    return "tf_keras" if called.host == "tf_keras" else hosts.host_of(model.container)


def _options(host: str, called: Caller) -> dict[str, Any]:
    if host == "tensorflow":
        return {}
    named = _custom_objects(called.host)
    return {"safe_mode": called.safe_mode} | ({"custom_objects": named} if named else {})


def _custom_objects(host: str) -> dict[str, str]:
    """What is registered in this process and can be imported in another, by name.

    What is defined in the program itself cannot; a model that needs it does not load there.
    """
    from keras_integrity_hook.isolation import hosts

    saving = getattr(sys.modules.get(host), "saving", None)
    registered: dict[str, Any] = getattr(saving, "get_custom_objects", dict)()
    named = {str(key): hosts.importable_name(one) for key, one in registered.items()}
    return {key: name for key, name in named.items() if name}


def _facts(model: SealedModel, called: Caller) -> dict[str, Any]:
    """All that a verdict depends on."""
    from keras_integrity_hook.isolation import hosts

    host = _host(model, called)
    return {
        "content": pinning.content_digest(model.seal),
        "container": model.container,
        "host": host,
        "options": _options(host, called),
        "versions": _versions((host, "keras", *hosts.COMPUTING)),
    }


def _versions(names: Sequence[str]) -> dict[str, str]:
    """Of this package, of Python, and of what is imported here of ``names``."""
    found = {"keras_integrity_hook": __version__, "python": sys.version}
    for name in names:
        found[name] = str(getattr(sys.modules.get(name), "__version__", ""))
    return found
