"""The pictures in README and docs/ can be taken from the current pages, and each is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.take_screenshots import CHROMIUM, PICTURES, take
from scripts.update_docs import pages
from tests.rounds import long, some


@long
def test_the_pictures_can_be_taken(url: str, tmp_path: Path) -> None:
    if not any(map(shutil.which, CHROMIUM)):
        pytest.skip("needs Chromium")
    names = some(PICTURES, 2)
    take(url, tmp_path, names)
    pictures = {file.stem: file.read_bytes() for file in tmp_path.iterdir()}
    assert pictures.keys() == set(names)
    # A page that was not drawn is a single colour, in a few hundred bytes.
    assert all(len(picture) > 20_000 for picture in pictures.values())


def test_each_picture_is_shown() -> None:
    shown = "".join(page.read_text(encoding="utf-8") for page in pages())
    assert [name for name in PICTURES if f"{name}.png)" not in shown] == []
