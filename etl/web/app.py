"""Datasette over one warehouse, with the pages of ``etl.web``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.plugins import pm

import etl.web
from etl.config import Config
from etl.metadata import read_metadata
from etl.web import visitors
from etl.web.datasette_views import replace_views
from etl.web.secret import signing_secret
from etl.web.site import DATABASE, Site
from etl.web.warehouse import WarehouseDatabase

SETTINGS = {
    # Charts draw only the rows that a query returns: Datasette's default of 1,000 is too few.
    "max_returned_rows": 5000,
    "sql_time_limit_ms": 10_000,
    "facet_time_limit_ms": 2000,
    "suggest_facets": False,
    "allow_download": False,
    "max_csv_mb": 50,
    "truncate_cells_html": 200,
    # Otherwise a browser shows cached pages for some seconds after a load.
    "default_cache_ttl": 0,
}


class _UsageDatasette(Datasette):  # type: ignore[misc]
    """Datasette for one site, which its hooks need while it is being built.

    ``plugin_settings`` (the settings of other plugins, by name) stay out of the metadata, which
    every visitor may read.
    """

    def __init__(self, site: Site, plugin_settings: Mapping[str, Any], **options: Any) -> None:
        self.bedrock_usage = site
        self._plugin_settings = plugin_settings
        super().__init__(**options)

    def plugin_config(self, plugin_name: str, *words: Any, **options: Any) -> Any:
        ours = self._plugin_settings.get(plugin_name)
        return super().plugin_config(plugin_name, *words, **options) if ours is None else ours

    def _routes(self) -> Any:
        return replace_views(super()._routes())


def build_datasette(
    db: Path,
    config: Config | None = None,
    config_path: Path | None = None,
    host: str = "127.0.0.1",
) -> Datasette:
    """Return Datasette over only this warehouse, read-only, as ``bedrock_usage``.

    ``host``: the address to serve at. Raises ConfigError for a login that cannot work.
    """
    if not pm.is_registered(etl.web):
        # No entry point: the plugin must not affect a Datasette that opens another database.
        pm.register(etl.web)
    config = config or Config()
    datasette = _UsageDatasette(
        Site(db, config, config_path, host),
        visitors.plugin_settings(config.serve),
        metadata=read_metadata(),
        settings=SETTINGS,
        secret=signing_secret(db, config.serve),
    )
    # Without files, Datasette adds an empty in-memory database.
    datasette.remove_database("_memory")
    datasette.add_database(WarehouseDatabase(datasette, db), name=DATABASE)
    return datasette
