"""``inspect`` says what it can of any file: no traceback, whatever is in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from etl.cli import main
from tests.load.poison import poison
from tests.rounds import rounds


@pytest.mark.parametrize("options", [(), ("--survey",)])
def test_any_file_is_inspected_without_a_traceback(options: tuple[str, ...]) -> None:
    @settings(
        max_examples=rounds(7, 2000), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(data=poison())
    def inspected(data: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            file = Path(name, "file")
            file.write_bytes(data)
            words = ["inspect", *options, str(file), "--db", str(Path(name, "w.db"))]
            result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), data
        assert result.exit_code in (0, 1), (result.output, result.stderr)
        assert "Traceback" not in result.output + result.stderr

    inspected()
