# SPDX-License-Identifier: Apache-2.0
"""How a page is made: templates that escape what they show.

That a browser runs nothing in it is seen to where every response passes, see ``boundary``.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from keras_integrity_hook.registry.service.console import links
from keras_integrity_hook.texts import bytes_of, listed, printable

FOLDER = Path(__file__).parent

_FEW = 3


def page(template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    """``template`` with what is ``shown``."""
    text = _environment().get_template(template).render(shown)
    return HTMLResponse(text, status)


@functools.cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.globals["links"] = links
    made.filters.update(
        bytes=bytes_of, count="{:,}".format, few=few, listed=listed, moment=moment, short=short
    )
    return made


def _shown(value: object) -> object:
    """No character of somebody else's text is invisible or turns the ones around it about; what a
    macro made (``__html__``) is shown already."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def few(versions: Sequence[str]) -> str:
    """The first of a list that may be long, and how many more there are."""
    rest = len(versions) - _FEW
    return ", ".join(versions[:_FEW]) + (f" and {rest} more" if rest > 0 else "")


def moment(time: str) -> str:
    """``2026-11-28T05:41:48Z`` as people read it."""
    return time.replace("T", " ").replace("Z", " UTC")


def short(digest: str) -> str:
    """The beginning of a digest, enough to tell it from others by eye."""
    return digest if len(digest) <= 16 else f"{digest[:16]}…"
