"""The site that the pages serve: one warehouse and its configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from etl.config import Config
from etl.warehouse.read.query_cache import Answers
from etl.web.datasette_thread import DatasetteThread
from etl.web.login_attempts import LoginAttempts
from etl.web.passwords import Passwords
from etl.web.sessions import Sessions

if TYPE_CHECKING:
    from datasette.app import Datasette

# Datasette names a database after its file, and metadata.yml and every link use that name. Here the
# name is fixed, so that a warehouse in any file has its descriptions and queries.
DATABASE = "bedrock_usage"

# Pages of a selection of usage: their addresses contain only values.
SELECTING = "application|user|team|model|cost|savings|models|errors|hour"


@dataclass(frozen=True)
class Site:
    """The warehouse and the configuration it is served with (``config_path`` None: no file).

    ``host``: the address that the server listens on.
    """

    db: Path
    config: Config
    config_path: Path | None = None
    host: str = "127.0.0.1"
    attempts: LoginAttempts = field(default_factory=LoginAttempts)

    @cached_property
    def passwords(self) -> Passwords:
        """The passwords of the users who log in here."""
        return Passwords(self.config.serve.passwords)

    @cached_property
    def sessions(self) -> Sessions:
        """The open sessions; their file is next to the warehouse, like the secret."""
        return Sessions(Path(f"{self.db.resolve()}.sessions"))

    @cached_property
    def datasette_thread(self) -> DatasetteThread:
        """The thread for pages that take long to render."""
        return DatasetteThread()

    @cached_property
    def answers(self) -> Answers:
        """The cached rows of the pages' queries."""
        return Answers(self.db)


def site_of(datasette: Datasette) -> Site | None:
    """Return the site of our Datasette; None for any other Datasette in the same process."""
    return getattr(datasette, "bedrock_usage", None)
