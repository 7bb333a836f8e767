"""The content of an HTML page."""

from __future__ import annotations

from html.parser import HTMLParser


class Page(HTMLParser):
    """The links, the text and the scripts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.figures: list[dict[str, str | None]] = []
        self.words: list[str] = []
        self._continues = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        assert not [name for name in found if name.startswith("on") or name == "style"]
        # Where a line may end within a word.
        self._continues = tag == "wbr"
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag == "script":
            self.scripts.append(found)
        elif tag == "figure":
            self.figures.append(found)

    def handle_data(self, data: str) -> None:
        if self._continues:
            self.words[-1] += data
        else:
            self.words.append(data)
        self._continues = False

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
