"""What a message says, once, and how that looks as text and as HTML.

Names come from outside, and whoever chooses one must not write to our readers: a message never
contains a link, a mention or markup that a name made up. So all text is made harmless here, where
it is written out, and only ``Link`` is a link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from etl.show.escaping import harmless

# Programs that show a message make links of addresses, and notify people of @names.
_SCHEME = re.compile(r"(?i)([a-z][a-z0-9+.-]*:)(?=/)")
_WWW = re.compile(r"(?i)\b(www)\.")
# Discord and others take @everyone for one even at the end of a word.
_MENTION = re.compile(r"(?<![\w.+-])@|@(?=(?:everyone|here|channel|all)\b)", re.IGNORECASE)
_MARKDOWN_LINK = re.compile(r"\](?=[(\[])")
# Not that of "<$0.01".
_TAG = re.compile(r"<(?![$0-9 ])")
_LONGEST_TEXT = 2000


class Paragraph(NamedTuple):
    """Some sentences."""

    text: str


class Listing(NamedTuple):
    """Rows of cells under headings; the first cell names the row. ``left_out``: rows not listed."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    left_out: int = 0


class Link(NamedTuple):
    """An address of our own pages, from the configuration."""

    text: str
    address: str


class Document(NamedTuple):
    """A message: its title, which is the subject of a mail, and its parts.

    ``is_warning``: somebody should do something.
    """

    title: str
    blocks: Sequence[Paragraph | Listing | Link]
    is_warning: bool = False


def said(text: str) -> str:
    """Return a text of which nothing can act: on one line, without links, mentions and markup."""
    text = harmless(text)
    if len(text) > _LONGEST_TEXT:
        text = f"{text[:_LONGEST_TEXT]}…"
    text = _SCHEME.sub(r"\1 ", text)
    text = _WWW.sub(r"\1 .", text)
    text = _MARKDOWN_LINK.sub("] ", text)
    return _MENTION.sub("@ ", _TAG.sub("‹", text))


def as_title(document: Document, *, is_repeat: bool = False) -> str:
    """Return the title; ``is_repeat``: the message may have arrived before."""
    return ("[possible repeat] " if is_repeat else "") + said(document.title)


def as_text(document: Document) -> str:
    """Return the parts as plain text."""
    return "\n\n".join(map(_text_of, document.blocks))


def _text_of(block: Paragraph | Listing | Link) -> str:
    if isinstance(block, Paragraph):
        return said(block.text)
    if isinstance(block, Link):
        return f"{said(block.text)}: {block.address}"
    lines = [said(block.title)]
    for first, *rest in block.rows:
        cells = [
            f"{heading.lower()} {cell}"
            for heading, cell in zip(block.headings[1:], rest, strict=True)
            if cell
        ]
        lines.append(f"- {said(': '.join(filter(None, (first, ', '.join(cells)))))}")
    return "\n".join(lines + ([_more(block)] if block.left_out else []))


def _more(block: Listing) -> str:
    return f"and {block.left_out:,} more"


_TABLE = "border-collapse:collapse"
_CELL = "text-align:left;padding:2px 12px 2px 0;border-bottom:1px solid #ccc;vertical-align:top"


def as_html(document: Document) -> str:
    """Return the parts as HTML, which needs nothing from elsewhere."""
    return "".join(map(_html_of, document.blocks))


def _html_of(block: Paragraph | Listing | Link) -> str:
    if isinstance(block, Paragraph):
        return f"<p>{_said(block.text)}</p>"
    if isinstance(block, Link):
        return f'<p><a href="{escape(block.address)}">{_said(block.text)}</a></p>'
    head = "".join(f'<th style="{_CELL}">{_said(one)}</th>' for one in block.headings)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in block.rows)
    more = f"<p>{_more(block)}</p>" if block.left_out else ""
    return (
        f"<h3>{_said(block.title)}</h3>"
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'
    )


def _cell(text: str) -> str:
    return f'<td style="{_CELL}">{_said(text)}</td>'


def _said(text: str) -> str:
    return escape(said(text))
