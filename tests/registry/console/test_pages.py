# SPDX-License-Identifier: Apache-2.0
"""What the pages of a registry say, and what they never let anybody do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from keras_integrity_hook.registry import service
from keras_integrity_hook.registry.events import Body, Recalled, Role, RolesChanged
from keras_integrity_hook.registry.service import console
from keras_integrity_hook.registry.service.console import pages
from keras_integrity_hook.registry.service.console.pages import Shown
from keras_integrity_hook.registry.spelling import BODIES
from tests.support import consoles
from tests.support.consoles import HOSTILE, LONG
from tests.support.markup import Markup
from tests.support.registries import Cast, registration
from tests.support.registry_service import Running
from tests.support.stores import Kept

CHURN = registration("churn", "2.2")

SAID = {
    "/": ("churn", "2.4", "production: 2.3, 2.1", "staging: 2.4, 2.3, 2.2 and 2 more", LONG),
    "/?q=fraud": ("fraud detection, EU", "1.0rc1"),
    "/?q=nobody": ("No model has that in its name.",),
    "/model?name=churn": ("2.3, 2.1", "alice and bob together", "recalled", "Highest so far"),
    "/version?model=churn&version=2.2": (
        *("recalled", "By carol", "Trained on the wrong half of the data.", CHURN.root),
        *(consoles.PROVENANCE["git commit"], "1.0 kB", *CHURN.digests.values()),
    ),
    "/version?model=churn&version=v2.2.0": ("churn 2.2", CHURN.root),
    f"/content?digest={CHURN.digests['sha512']}": ("Registered as", "churn 2.2", "recalled"),
    f"/content?digest={'ef' * 32}": ("No version of any model has this content.",),
    "/events": ("alice and bob founded the registry", "carol registered churn 2.0", "#23"),
    "/events?model=churn": (
        *("though a higher version was there before", "in place of all others"),
        "carol recalled content",
    ),
    "/events/0": ("Event 0", '"origin": "models.example.com/registry"', "Leaf hash"),
    "/events/19": ("dave took back the recall of content", "It was another model."),
    "/recalls": ("churn 2.2", "everything that key cdcdcdcdcdcdcdcd… signed", "stolen"),
    "/roles": ("Promote to production, and withdraw from it", "2 of 2", "dave", "service"),
}
NOWHERE = {
    "/model?name=nobody": 404,
    "/version?model=churn&version=9": 404,
    "/version?model=churn&version=not%20a%20version": 404,
    "/content?digest=12": 404,
    "/events/24": 404,
    "/events?model=nobody": 404,
    "/model": 400,
    f"/model?name={'x' * 256}": 400,
    "/model?name=a%00b": 400,
    "/events?before=-1": 400,
    "/events?before=soon": 400,
    "/events/99999999999999999999": 400,
}


def shown(served: Running, address: str) -> Markup:
    reply = served.get(address)
    assert reply.status == 200, address
    return Markup(reply.body.decode())


@pytest.mark.parametrize("address", SAID)
def test_a_page_says_what_the_registry_holds(served: Running, address: str) -> None:
    words = shown(served, address).words
    assert [said for said in SAID[address] if said not in words] == []


@pytest.mark.parametrize("address", NOWHERE)
def test_an_address_that_leads_nowhere_gets_a_page_that_says_so(
    served: Running, address: str
) -> None:
    reply = served.get(address)
    assert reply.status == NOWHERE[address]
    assert reply.headers["content-type"].startswith("text/html")
    assert Markup(reply.body.decode()).of("h1")


@pytest.mark.parametrize("address", [*SAID, *NOWHERE])
def test_a_page_runs_nothing_and_loads_nothing_from_elsewhere(
    served: Running, address: str
) -> None:
    reply = served.get(address)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = Markup(reply.body.decode())
    assert not page.of("script") + page.of("iframe") + page.of("style")
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        leads = [attributes.get(name, "/") for name in ("href", "src", "action")]
        assert all(one.startswith(("/", "#")) for one in leads)


def test_text_of_strangers_is_shown_as_it_is(served: Running) -> None:
    """Reasons and provenance are free: markup, SQL and templates stand in them as text."""
    for address in ("/version?model=churn&version=2.2", "/events", "/events/16"):
        assert "DROP TABLE" in shown(served, address).words
    assert shown(served, "/version?model=churn&version=2.2").words.count(HOSTILE) == 2
    searched = shown(served, f"/?q={quote(HOSTILE)}")
    assert [field["value"] for field in searched.of("input")] == [HOSTILE]


def test_every_link_leads_to_a_page(served: Running) -> None:
    seen, ahead = set[str](), ["/"]
    while ahead:
        page = shown(served, ahead.pop())
        found = {one["href"].partition("#")[0] for one in page.of("a")} - {""} - seen
        seen |= found
        ahead += found
    assert len(seen) > 40
    assert "/version?model=churn&version=2.4" in seen


def test_a_digest_in_the_search_leads_to_the_content(served: Running) -> None:
    reply = served.get(f"/?q=%20{CHURN.root.upper()}%20")
    assert reply.status == 303
    assert reply.headers["location"] == f"/content?digest={CHURN.root}"


@pytest.mark.parametrize(
    ("address", "lines"),
    [
        (
            "/version?model=churn&version=2.0",
            [
                "promote churn 2.0 --stage production --exclusive --rollback --out event.json",
                "sign event.json",
                "submit event.json",
                "withdraw churn 2.0 --stage staging --reason TEXT",
                "recall churn 2.0 --reason TEXT",
            ],
        ),
        (
            "/version?model=churn&version=2.2",
            [
                "withdraw churn 2.2 --stage staging --reason TEXT",
                f"restore --digest {CHURN.root} --reason TEXT",
            ],
        ),
        (
            "/version?model=fraud+detection%2C+EU&version=1.0rc1",
            [
                "promote 'fraud detection, EU' 1.0rc1 --stage production --out event.json",
                "sign event.json",
                "submit event.json",
                "promote 'fraud detection, EU' 1.0rc1 --stage staging",
                "recall 'fraud detection, EU' 1.0rc1 --reason TEXT",
            ],
        ),
    ],
)
def test_a_page_has_the_commands_that_would_change_it(
    served: Running, address: str, lines: list[str]
) -> None:
    page = shown(served, address)
    assert page.commands == [f"keras-integrity registry {line}" for line in lines]


def test_nothing_can_be_posted_to_a_page(served: Running) -> None:
    for address in ("/", "/model?name=churn", "/roles", "/recalls"):
        assert served.ask("POST", address, b"name=x").status == 405


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Kept]:
    """A registry with more models, versions and recalls than a page has room for."""
    kept = Kept(f"sqlite:///{tmp_path}/registry.db", Cast(tmp_path))
    with kept.store:
        kept.found()
        facts: list[Body] = [
            *(registration(name) for name in NAMES),
            *(registration("churn", f"1.{number}") for number in range(COUNT)),
            *(Recalled("root", f"{number:064x}", "It is one of many.") for number in range(COUNT)),
        ]
        kept.append(*(kept.cast.signed(fact, "carol") for fact in facts))
        yield kept


COUNT = 2 * pages.PAGE + 1
NAMES = [f"model {number:03}" for number in range(COUNT)]


def turned(page: Callable[[str], Shown], rows: str, query: str) -> list[Any]:
    """All rows of a list, page after page, by the link to the next one."""
    shown = page("")
    found = list(shown[rows])
    while shown["on"]:
        assert len(shown[rows]) == pages.PAGE
        shown = page(parse_qs(urlsplit(shown["on"]).query)[query][0])
        assert shown["back"]
        found += shown[rows]
    return found


def number_of(text: str) -> int | None:
    return int(text) if text else None


def test_a_long_list_is_turned_page_by_page_and_has_each_row_once(many: Kept) -> None:
    store = many.store
    models = turned(lambda after: pages.models(store, "model", after), "models", "after")
    assert [row.name for row in models] == NAMES
    versions = turned(
        lambda before: pages.model(store, "churn", number_of(before)), "versions", "before"
    )
    assert [row.version for row in versions] == [f"1.{n}" for n in reversed(range(COUNT))]
    recalls = turned(lambda before: pages.recalls(store, number_of(before)), "recalls", "before")
    assert [row.target for row in recalls] == [f"{n:064x}" for n in reversed(range(COUNT))]
    events = turned(
        lambda before: pages.timeline(store, "", number_of(before)), "entries", "before"
    )
    assert [entry.position for entry in events] == list(reversed(range(3 * COUNT + 1)))


def test_who_has_no_role_any_more_is_called_by_the_key(many: Kept) -> None:
    """The name may be somebody else's by now; the key is the one that signed."""
    roles = many.cast.roles()
    others = tuple(actor for actor in roles.actors if actor.name != "carol")
    without = roles._replace(
        actors=others,
        register=Role(("alice",)),
        recall=Role(("alice",)),
        stages={"production": roles.stages["production"], "staging": Role(("alice",))},
    )
    many.add(RolesChanged(without), "alice", "bob")
    entries = pages.timeline(many.store, "", None)["entries"]
    assert entries[0].signers == ("alice", "bob")
    assert entries[1].signers == (f"key {many.cast.keys['carol'].keyid[:16]}…",)


def test_a_log_that_somebody_edited_gets_a_page_that_says_so(tmp_path: Path) -> None:
    kept = Kept(f"sqlite:///{tmp_path}/registry.db", Cast(tmp_path))
    with kept.store:
        kept.found()
        with closing(sqlite3.connect(tmp_path / "registry.db")) as database:
            named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (trigger,) in database.execute(named).fetchall():
                database.execute(f"DROP TRIGGER {trigger}")
            database.execute("UPDATE registry_entries SET encoded = x'7b7d'")
            database.commit()
        reply = asyncio.run(asked(service.app(kept.store, kept.key), "/events/0"))
    assert reply.status_code == 500
    assert "keras-integrity" in Markup(reply.text).words


async def asked(application: FastAPI, address: str) -> httpx.Response:
    """One request, without a socket in between."""
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
        return await client.get(address)


def test_every_type_of_event_is_told_in_words_of_its_own() -> None:
    """What the page does not know is not told as something else."""
    template = resources.files(console).joinpath("templates", "parts.html").read_text()
    sentences = template.partition("macro sentence")[2].partition("endmacro")[0]
    assert [word for word in BODIES if f'entry.kind == "{word}"' not in sentences] == []
