"""Where the files that are not Python are: ``sql/`` and ``metadata.yml``.

In the repository they are next to the package, where readers look for them. In an installed wheel
they are inside it, so the program works from any folder.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent

SQL = _ROOT / "sql"
METADATA = _ROOT / "metadata.yml"

# What other price lists said, of which the list prices are built. Not in a wheel.
EXTRACTS = _ROOT / "scripts" / "price_inputs"
