"""The README's pictures can be taken from the pages as they are, and the README shows each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.take_screenshots import CHROMIUM, PICTURES, take
from tests.rounds import long, some

README = Path(__file__).parents[2] / "README.md"


@long
def test_the_pictures_can_be_taken(url: str, tmp_path: Path) -> None:
    if not any(map(shutil.which, CHROMIUM)):
        pytest.skip("needs Chromium")
    names = some(PICTURES, 2)
    take(url, tmp_path, names)
    pictures = {file.stem: file.read_bytes() for file in tmp_path.iterdir()}
    assert pictures.keys() == set(names)
    # A page that is not drawn is one colour, in some hundred bytes.
    assert all(len(picture) > 20_000 for picture in pictures.values())


def test_the_readme_shows_each_picture() -> None:
    readme = README.read_text(encoding="utf-8")
    assert [name for name in PICTURES if f"(docs/{name}.png)" not in readme] == []
