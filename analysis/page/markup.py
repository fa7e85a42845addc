"""HTML in which everything that comes from a run folder is text, and never code."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

_VOID: Final = ("img", "input", "meta")
_SCRIPT_UNSAFE: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class Markup(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def tag(
    name: str, /, *children: str | Iterable[str], **attributes: str | int | bool | None
) -> Markup:
    """Return an element; children and attributes that are no `Markup` are escaped.

    Args:
        name: of the element.
        children: text or markup, or several in a list.
        attributes: `class_` and `for_` lose their underscore, others become hyphens; True stands
            without a value, None and False are left out.

    Example:
        >>> tag("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(
        f" {_attribute(key)}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    inner = "".join(
        escape(child)
        for group in children
        for child in ([group] if isinstance(group, str) else group)
    )
    return Markup(f"<{name}{written}>{inner}</{name}>")


def escape(text: str) -> Markup:
    """Return text as HTML; markup stays as it is, and what can't be encoded becomes a mark."""
    if isinstance(text, Markup):
        return text
    return Markup(html.escape(text.encode("utf-8", "replace").decode()))


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, num_text: int = 1) -> Markup:
    """Return a table that scrolls sideways if too wide; cells after `num_text` are figures."""
    kinds = [None if index < num_text else "figure" for index in range(len(headings))]
    head = [tag("th", text, class_=kind) for text, kind in zip(headings, kinds, strict=True)]
    body = [
        tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, kinds, strict=True)])
        for row in rows
    ]
    return tag(
        "div", tag("table", tag("thead", tag("tr", head)), tag("tbody", body)), class_="wide"
    )


def command(text: str) -> Markup:
    """Return a command with a button that copies it."""
    return tag(
        "div",
        tag("code", text),
        tag("button", "Copy", type="button", class_="copy"),
        class_="command",
    )


def section(title: str, *children: str | Iterable[str], key: str) -> Markup:
    """Return a section of the page under a heading."""
    return tag("section", tag("h2", title), *children, id=key)


def json_script(data: Any, key: str) -> Markup:
    """Return data for scripts; nothing in it can end the element or begin another."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).translate(_SCRIPT_UNSAFE)
    return Markup(f'<script type="application/json" id="{key}">{text}</script>')


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
