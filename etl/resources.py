"""Where the files that are not Python live: ``sql/`` and ``metadata.yml``.

In the repository they stand beside the package, where readers look for them; in an installed wheel
they are inside it, so that the program works from any folder.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent

SQL = _ROOT / "sql"
METADATA = _ROOT / "metadata.yml"
