# SPDX-License-Identifier: Apache-2.0
"""Pages as a browser takes them apart, without one."""

from __future__ import annotations

from html.parser import HTMLParser

_WITHOUT_END = {"meta", "link", "input", "br"}


class Markup(HTMLParser):
    """A page's elements and text.

    Attributes:
        elements: names and attributes, in order.
        words: the text, white space made one.
        commands: the text of each ``pre`` of the class ``command``.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.commands: list[str] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self._is_command = False
        self.feed(page)
        self.close()
        assert self._open == [], f"never closed: {self._open}"

    @property
    def words(self) -> str:
        return " ".join("".join(self._text).split())

    def of(self, name: str) -> list[dict[str, str]]:
        """The attributes of each element of a name."""
        return [attributes for element, attributes in self.elements if element == name]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in _WITHOUT_END:
            self._open.append(tag)
        if tag == "pre" and attributes.get("class") == "command":
            self._is_command = True
            self.commands.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} ends within another at {self.getpos()}"
        self._is_command = self._is_command and tag != "pre"

    def handle_data(self, data: str) -> None:
        self._text.append(data)
        if self._is_command:
            self.commands[-1] += data
