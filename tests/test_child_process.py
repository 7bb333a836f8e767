"""What this program starts of itself imports this package, and Python's own modules."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import etl
from etl.child_process import child_command, import_path

# Names that this package and Python's library both have: etl's own folder on the path shadows them.
BOTH = "import etl, inspect; print(etl.__file__); print(inspect.getfile(inspect))"


def test_a_child_imports_this_package_and_no_part_of_it_for_python_s_own(tmp_path: Path) -> None:
    (tmp_path / "etl").mkdir()
    (tmp_path / "etl" / "__init__.py").write_text("raise ImportError('another one')")
    python, *flags, _, _ = child_command("etl")
    printed = subprocess.run(
        [python, *flags, "-c", BOTH],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": import_path()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    package, inspect = printed.splitlines()
    assert package == etl.__file__
    assert not Path(inspect).is_relative_to(Path(etl.__file__).parent)
