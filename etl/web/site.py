"""What the pages are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from etl.config import Config
from etl.warehouse.read.query_cache import Answers
from etl.web.datasette_thread import Beside
from etl.web.login_attempts import Attempts
from etl.web.passwords import Passwords
from etl.web.sessions import Sessions

if TYPE_CHECKING:
    from datasette.app import Datasette

# Datasette names a database after its file, and metadata.yml and every link go by that name. Here
# it is always this one, so that a warehouse in any file has its descriptions and queries.
DATABASE = "bedrock_usage"


@dataclass(frozen=True)
class Site:
    """The warehouse, and the configuration that it is served with (None: there is no file).

    ``host``: the address that the server listens on.
    """

    db: Path
    config: Config
    config_path: Path | None = None
    host: str = "127.0.0.1"
    attempts: Attempts = field(default_factory=Attempts)

    @cached_property
    def passwords(self) -> Passwords:
        """Those of the users who log in here."""
        return Passwords(self.config.serve.passwords)

    @cached_property
    def sessions(self) -> Sessions:
        """Those that are open; their file stands beside the warehouse, as the secret does."""
        return Sessions(Path(f"{self.db.resolve()}.sessions"))

    @cached_property
    def beside(self) -> Beside:
        """The thread for pages that take long to draw."""
        return Beside()

    @cached_property
    def answers(self) -> Answers:
        """What the pages asked already."""
        return Answers(self.db)


def site_of(datasette: Datasette) -> Site | None:
    """Return what a Datasette of ours is about; None for any other in the same process."""
    return getattr(datasette, "bedrock_usage", None)
