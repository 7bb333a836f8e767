"""No traceback reaches a user, whatever a command meets."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from etl.cli import main

SECRET = "a-prompt-of-somebody"


def test_what_nobody_foresaw_is_one_line_without_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr("etl.cli.load.load_config", fail)
    words = ["load", str(tmp_path), "--db", str(tmp_path / "w.db")]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert "KeyError" in result.stderr
    assert SECRET not in result.stderr
    monkeypatch.setenv("BEDROCK_USAGE_DEBUG", "1")
    assert isinstance(CliRunner().invoke(main, words).exception, KeyError)
