"""What the pages are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etl.config import Config

if TYPE_CHECKING:
    from datasette.app import Datasette

# Datasette names a database after its file, and metadata.yml and every link go by that name. Here
# it is always this one, so that a warehouse in any file has its descriptions and queries.
DATABASE = "bedrock_usage"


@dataclass(frozen=True)
class Site:
    """The warehouse, and the configuration that it is served with (None: there is no file)."""

    db: Path
    config: Config
    config_path: Path | None = None


def site_of(datasette: Datasette) -> Site | None:
    """Return what a Datasette of ours is about; None for any other in the same process."""
    return getattr(datasette, "bedrock_usage", None)
