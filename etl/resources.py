"""Where the files that are not Python are: ``sql/``, ``metadata.yml`` and a page of ``docs/``.

In the repository they are next to the package, where readers look for them. In an installed wheel
they are inside it, so the program works from any folder.
"""

from pathlib import Path

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent

SQL = _ROOT / "sql"
METADATA = _ROOT / "metadata.yml"

# The page of docs/ that the program itself shows, to agents.
NUMBERS = _ROOT / "docs" / "numbers.md"

# What other price lists said, of which the list prices are built. Not in a wheel.
EXTRACTS = _ROOT / "scripts" / "price_inputs"
