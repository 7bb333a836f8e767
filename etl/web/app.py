"""Datasette over one warehouse, with the pages of ``etl.web``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from datasette.app import Datasette
from datasette.plugins import pm

import etl.web
from etl import resources
from etl.config import Config
from etl.web import visitors
from etl.web.datasette_views import replace_views
from etl.web.secret import signing_secret
from etl.web.site import DATABASE, Site
from etl.web.warehouse import WarehouseDatabase

SETTINGS = {
    # Charts draw only the rows that a query returns, so more than Datasette's 1,000 are allowed.
    "max_returned_rows": 5000,
    "sql_time_limit_ms": 10_000,
    "facet_time_limit_ms": 2000,
    "suggest_facets": False,
    "allow_download": False,
    "max_csv_mb": 50,
    "truncate_cells_html": 200,
    # A browser would keep showing what it has for some seconds after a load.
    "default_cache_ttl": 0,
}


class _UsageDatasette(Datasette):  # type: ignore[misc]
    """Datasette about one site, which its hooks ask for while it is being made.

    ``told_plugins`` (what other plugins are told, by name) stays out of the metadata, which every
    visitor may read.
    """

    def __init__(self, site: Site, told_plugins: Mapping[str, Any], **options: Any) -> None:
        self.bedrock_usage = site
        self._told_plugins = told_plugins
        super().__init__(**options)

    def plugin_config(self, plugin_name: str, *words: Any, **options: Any) -> Any:
        told = self._told_plugins.get(plugin_name)
        return super().plugin_config(plugin_name, *words, **options) if told is None else told

    def _routes(self) -> Any:
        return replace_views(super()._routes())


def build_datasette(
    db: Path,
    config: Config | None = None,
    config_path: Path | None = None,
    host: str = "127.0.0.1",
) -> Datasette:
    """Return Datasette over this warehouse alone, read-only, as ``bedrock_usage``.

    ``host``: the address that it will be served at. Raises ConfigError for a login that cannot be.
    """
    if not pm.is_registered(etl.web):
        # Not by an entry point: whoever opens another database with Datasette does not mean us.
        pm.register(etl.web)
    config = config or Config()
    datasette = _UsageDatasette(
        Site(db, config, config_path, host),
        visitors.plugin_settings(config.serve),
        metadata=_metadata(),
        settings=SETTINGS,
        secret=signing_secret(db, config.serve),
    )
    # Without files Datasette offers an empty database in memory.
    datasette.remove_database("_memory")
    datasette.add_database(WarehouseDatabase(datasette, db), name=DATABASE)
    return datasette


def _metadata() -> dict[str, Any]:
    # Datasette reads it in Python alone, which takes a third of a second of every start.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    metadata: dict[str, Any] = yaml.load(resources.METADATA.read_bytes(), loader)  # noqa: S506
    return metadata
