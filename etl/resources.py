"""Where the files that are not Python are: ``sql/``, ``metadata.yml`` and a page of ``docs/``.

In the repository they are next to the package, where readers look for them. In an installed wheel
they are inside it, so the program works from any folder.
"""

import atexit
import shutil
import tempfile
import zipfile
from pathlib import Path


def _folder() -> Path:
    """Return the folder of the package; of one in a zip file, as Spark hands it out, a copy."""
    package = Path(__file__).parent
    if package.is_dir() or not zipfile.is_zipfile(package.parent):
        return package
    folder = tempfile.mkdtemp(prefix="bedrock-usage-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with zipfile.ZipFile(package.parent) as archive:
        archive.extractall(folder, [n for n in archive.namelist() if n.startswith("etl/")])
    return Path(folder) / "etl"


_PACKAGE = _folder()
_ROOT = _PACKAGE if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent

SQL = _ROOT / "sql"
METADATA = _ROOT / "metadata.yml"

# The page of docs/ that the program itself shows, to agents.
NUMBERS = _ROOT / "docs" / "numbers.md"

# What other price lists said, of which the list prices are built. Not in a wheel.
EXTRACTS = _ROOT / "scripts" / "price_inputs"
