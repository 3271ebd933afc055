# SPDX-License-Identifier: Apache-2.0
"""Does what a policy names work here? Each setting that names something outside of itself (a log, a
key, people, a file, a function, a sandbox) is tried out, and nothing is changed by that."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from keras_integrity_hook.audit import destination
from keras_integrity_hook.cli.finding import Finding, note, problem
from keras_integrity_hook.errors import IntegrityError
from keras_integrity_hook.isolation import availability
from keras_integrity_hook.sealing import tree
from keras_integrity_hook.settings import Require, Sandbox, Settings, advice, shadowing
from keras_integrity_hook.settings.layers import Layers
from keras_integrity_hook.settings.schema import KEYS
from keras_integrity_hook.settings.toml_file import Entry, PolicyFile, Rule
from keras_integrity_hook.signing import readiness, seal_signers, trust_file, trust_store
from keras_integrity_hook.signing.trust_store import TrustStore
from keras_integrity_hook.texts import for_shell, plural

_SOON = timedelta(days=30)
_NO_CONTENT = "0" * 64  # a digest that a registry is asked about to see whether it answers


class _Table(NamedTuple):
    """The settings that are in force together in one place: at the top, or where a rule is."""

    entries: Mapping[str, Entry]

    def value(self, name: str) -> Any:
        return self.entries[name].value if name in self.entries else KEYS[name].default

    def named(self, name: str) -> str:
        """The setting and where it is from, for the beginning of a sentence."""
        origin = self.entries[name].origin if name in self.entries else "default"
        return f"{name} ({origin})"


def of_process(found: Layers, in_force: Settings) -> Iterator[Finding]:
    """What of the settings in force does not work here, those of rules included."""
    top = {name: Entry(getattr(in_force, name), in_force.origins[name]) for name in KEYS}
    tables = [top]
    for file in found.files:
        ignored = frozenset() if file is found.machine else found.locked
        for rule in _used_rules(found.files, file):
            own = {name: entry for name, entry in rule.entries.items() if name not in ignored}
            tables.append({**top, **own})
    yield from _tried(map(_Table, tables), found.locked)
    for remark in advice.on_order(found.files):
        yield note(remark)


def of_file(policy: PolicyFile) -> Iterator[Finding]:
    """What a policy file names that would not work here, for this user."""
    used = [rule.entries for rule in _used_rules([policy], policy)]
    tables = [_Table({**policy.entries, **own}) for own in ({}, *used)]
    yield from _tried(tables, policy.locked)


def _used_rules(files: Sequence[PolicyFile], file: PolicyFile) -> list[Rule]:
    """The rules of ``file``, one of ``files``, but for those that nothing ever gets to."""
    unused = [rule.origin for rule, _ in shadowing.shadowed(files)]
    return [rule for rule in file.rules if rule.origin not in unused]


def _tried(tables: Iterable[_Table], locked: Collection[str]) -> Iterator[Finding]:
    """The findings on all tables, each once: most of a rule's settings are those of the top."""
    found = (one for table in tables for one in _of_table(table, locked))
    yield from dict.fromkeys(found)


def _of_table(table: _Table, locked: Collection[str]) -> Iterator[Finding]:
    yield from _audit_log(table)
    yield from _key(table)
    yield from _algorithm(table)
    yield from _answers(table)
    yield from _signers(table, locked)
    yield from _vetters(table, locked)
    yield from _sandbox(table)
    yield from _registry(table)


def _audit_log(table: _Table) -> Iterator[Finding]:
    target, required = table.value("audit_log"), table.value("audit_required")
    if target is None:
        if required:
            yield problem(
                f"{table.named('audit_required')}, and there is no audit_log: nothing is loaded or "
                "saved. Set audit_log."
            )
        return
    try:
        destination.try_out(target)
    except OSError as error:
        why = error.strerror or error
        cost = "nothing is loaded or saved" if required else "events are lost"
        yield problem(
            f"{table.named('audit_log')}: {target} cannot be written ({why}), so that {cost}. "
            f"{_about_log(target)}"
        )


def _about_log(target: str) -> str:
    if target.startswith("syslog:"):
        return (
            "No log daemon listens there, as in most containers: mount its socket, name it as "
            "'syslog:/path', or log to a file."
        )
    folder = for_shell(os.path.dirname(target) or ".")
    return f"Make the directory ('mkdir -p {folder}') or let this user write it."


def _key(table: _Table) -> Iterator[Finding]:
    reference = table.value("key")
    if reference is None:
        return
    try:
        readiness.try_out(reference)
    except IntegrityError as error:
        yield problem(
            f"{table.named('key')}: {reference} cannot sign: {error.cause}. Until it can, what is "
            f"saved has no signature, and nothing is saved where one is required. {error.remedy()}"
        )


def _algorithm(table: _Table) -> Iterator[Finding]:
    name = table.value("algorithm")
    if not tree.is_available(name):
        yield problem(
            f"{table.named('algorithm')}: {name} is not installed, so that nothing can be sealed "
            f"with it. 'pip install {name}' adds it."
        )


def _answers(table: _Table) -> Iterator[Finding]:
    """The model or the function that answers for a refused model."""
    fallback, function = table.value("fallback"), table.value("call")
    if fallback is not None and "://" not in fallback and not os.path.exists(fallback):
        yield problem(
            f"{table.named('fallback')}: {fallback} is not there, so that no model takes the place "
            "of one that is refused."
        )
    if function is not None and not _is_importable(function.partition(":")[0]):
        yield problem(
            f"{table.named('call')}: the module of {function} cannot be found by this Python."
        )


def _is_importable(module: str) -> bool:
    from importlib.util import find_spec

    try:  # only the outermost package: to look into it would run its code
        return find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _signers(table: _Table, locked: Collection[str]) -> Iterator[Finding]:
    """Whether those who have to sign are trusted here, and enough of them still count."""
    if not table.value("require").names(Require.SIGNED):
        return
    by_machine = seal_signers.only_machine_counts(locked)
    try:
        known = list(_trusted(trust_store.store(machine_only=by_machine)))
        everybody = {name for one in _trusted(trust_store.store()) for name in one.names}
    except IntegrityError as error:
        yield _cannot_be_told(error)
        return
    wanted = table.value("signers")
    asked = table.named("signers" if wanted else "require")
    for name in wanted:
        if not any(name in one.names for one in known):
            yield problem(f"{table.named('signers')}: {_about_stranger(name, everybody)}")
    named = [one for one in known if not wanted or one.names & set(wanted)]
    yield from _about_dates(named, asked)
    count = len({one.who for one in named if not one.fault})
    yield from _too_few(table.value("threshold"), asked, count, by_machine)


def _vetters(table: _Table, locked: Collection[str]) -> Iterator[Finding]:
    """Whether there is anybody here whose word it can be that a model passed."""
    if not table.value("require").names(Require.VETTED):
        return
    by_machine = seal_signers.only_machine_counts(locked)
    try:
        known = list(_trusted_vetters(trust_store.store(machine_only=by_machine)))
        elsewhere = bool(trust_store.store().vetters) and not known
    except IntegrityError as error:
        yield _cannot_be_told(error)
        return
    asked = table.named("require")
    yield from _about_dates(known, asked)
    if any(not one.fault for one in known):
        return
    where, option = (f" in {trust_store.MACHINE}", " --machine") if by_machine else ("", "")
    others = " Vetters of this user or project do not count here." if elsewhere else ""
    yield problem(
        f"{asked}: a trusted vetter must say that a model passed, and nobody trusted{where} can: "
        f"no model is loaded.{others} 'keras-integrity trust add --vetter{option} NAME PUBLIC-KEY' "
        "adds one."
    )


def _sandbox(table: _Table) -> Iterator[Finding]:
    """Whether models can be tried where they have to be."""
    if table.value("sandbox") is Sandbox.OFF:
        return
    missing = availability.reasons()
    if missing:
        yield problem(
            f"{table.named('sandbox')}: no sandbox is to be had here: {'; '.join(missing)}. Models "
            "that have to be tried in one are not loaded."
        )


def _registry(table: _Table) -> Iterator[Finding]:
    """Whether there is a registry to ask, and it is the one that is meant."""
    url, registry_id = table.value("registry"), table.value("registry_id")
    is_needed = table.value("require").names(Require.REGISTERED)
    cost = "no model is loaded" if is_needed else "nobody says what was recalled"
    if url is None:
        if is_needed:
            yield problem(f"{table.named('require')}, and no registry is named: {cost}.")
        return
    if registry_id is None:
        yield problem(
            f"{table.named('registry')}, and there is no registry_id: no model is loaded."
        )
        return
    from keras_integrity_hook.registry import client

    times = (timedelta(minutes=1), table.value("registry_timeout"))
    try:
        client.ask(url, (_NO_CONTENT,), registry_id=registry_id, max_age=times[0], timeout=times[1])
    except IntegrityError as error:
        yield problem(f"{table.named('registry')}: {error.cause}: {cost}. {error.remedy()}")


def _cannot_be_told(error: IntegrityError) -> Finding:
    where = f"{error.path}: " if error.path else ""
    return problem(f"Whom to trust cannot be told: {where}{error.cause}. {error.remedy()}")


def _about_dates(people: Iterable[_Trusted], asked: str) -> Iterator[Finding]:
    """Of ``people``, whose signatures do not count, or soon will not."""
    for one in people:
        if one.fault:
            yield note(f"{asked}: {one.fault}.")
        elif one.ends is not None and one.ends - datetime.now(UTC) < _SOON:
            yield note(f"The signatures of {one.name} count until {one.ends:%Y-%m-%d} only.")


def _about_stranger(name: str, everybody: Collection[str]) -> str:
    if name in everybody:
        return (
            f"{name} is trusted by a file of this user or project, and the machine's policy fixes "
            f"who has to sign, so that only {trust_store.MACHINE} counts. As root, "
            f"'keras-integrity trust add --machine {shlex.quote(name)} PUBLIC-KEY' adds it."
        )
    return (
        f"{name} is in no trust file that counts here. "
        f"'keras-integrity trust add {shlex.quote(name)} PUBLIC-KEY' adds it, 'keras-integrity "
        "trust list' shows who is there."
    )


def _too_few(needed: int, asked: str, count: int, by_machine: bool) -> Iterator[Finding]:
    if count >= needed:
        return
    there = f"only {count} of them" if count else "nobody"
    where = f" in {trust_store.MACHINE}" if by_machine else ""
    yield problem(
        f"{asked}: {plural(needed, 'good signature')} must be there, and {there} "
        f"trusted{where} can give one: no model is loaded."
    )


class _Trusted(NamedTuple):
    """Somebody in a trust file.

    Attributes:
        who: the key id, or the name: a key with two names is one signer.
        names: all that stands for him in a policy.
        fault: why his signatures do not count now, a clause, or "".
        ends: when they cease to.
    """

    name: str
    who: str
    names: frozenset[str]
    fault: str
    ends: datetime | None


def _trusted(store: TrustStore) -> Iterator[_Trusted]:
    """Those who may sign models."""
    for key in store.keys:
        yield _holder(key, store)
    others: list[trust_file.Trusted] = [*store.certificates, *store.identities]
    for one in others:
        fault = _fault_of_dates(one)
        yield _Trusted(one.name, one.name, frozenset((one.name,)), fault, one.not_after)


def _trusted_vetters(store: TrustStore) -> Iterator[_Trusted]:
    """Those who may say that a model passed."""
    for key in store.vetters:
        yield _holder(key, store)


def _holder(key: trust_file.TrustedKey, store: TrustStore) -> _Trusted:
    revoked = store.revocation_of(key)
    fault = _fault_of_dates(key)
    if revoked is not None:
        since = f" since {revoked.since:%Y-%m-%d}" if revoked.since else ""
        fault = f"the key {key.name} is revoked{since} ({revoked.reason or 'no reason given'})"
    return _Trusted(key.name, key.keyid, frozenset((key.name, key.keyid)), fault, key.not_after)


def _fault_of_dates(one: trust_file.Trusted) -> str:
    clauses = {
        "not yet valid": f"signatures of {one.name} count from {_day(one.not_before)} on",
        "expired": f"signatures of {one.name} counted until {_day(one.not_after)}",
    }
    return clauses.get(trust_file.state_at(one, datetime.now(UTC)), "")


def _day(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"
