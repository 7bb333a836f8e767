"""The chart library: built once, kept where only its user may write."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.web import vega_bundle
from tests.rounds import long


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    vega_bundle._read_or_build.cache_clear()
    yield tmp_path / "bedrock-usage"
    vega_bundle._read_or_build.cache_clear()


@long
def test_it_is_built_once_and_then_read(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = vega_bundle.javascript()
    assert b"vegaEmbed" in made
    assert len(made) > 500_000
    (kept,) = cache_folder.iterdir()
    assert kept.name == vega_bundle.file_name()
    assert stat.S_IMODE(cache_folder.stat().st_mode) == 0o700
    vega_bundle._read_or_build.cache_clear()
    monkeypatch.setattr(vega_bundle, "_SCRIPT", "raise SystemExit(1)")
    assert vega_bundle.javascript() == made


def test_without_a_cache_it_still_works(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder.write_text("in the way")
    monkeypatch.setattr(vega_bundle, "_SCRIPT", "print('made')")
    assert vega_bundle.javascript() == b"made\n"


def test_half_a_script_is_never_kept(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vega_bundle, "_SCRIPT", "print('half'); raise SystemExit(1)")
    with pytest.raises(Exception, match="status 1"):
        vega_bundle.javascript()
    assert not cache_folder.exists()
