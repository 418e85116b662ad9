"""Markdown: headings, tables and lists of a page, with what people wrote kept from being markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final


def section(title: str, *parts: str) -> str:
    """A section of a page: its heading, then its parts."""
    return "\n\n".join([f"## {title}", *parts])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> str:
    """A table of texts that are Markdown already; `empty` in its place if there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return empty
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])


def plain(text: object) -> str:
    """Text as it is, on one line."""
    flat = " ".join(str(text).split())
    return _MARKUP.sub(r"\\\g<0>", flat)


def code(text: object) -> str:
    """A name as code, on one line."""
    flat = " ".join(str(text).split()).replace("|", "\\|")
    fence = "``" if "`" in flat else "`"
    space = " " if "`" in flat else ""
    return f"{fence}{space}{flat}{space}{fence}"


_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|#]")
