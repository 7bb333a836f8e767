"""What commands renew after they changed usage or prices: forecasts, and what is unusual."""

from __future__ import annotations

from sqlite_utils import Database

from etl.forecast.renew import renew_forecasts
from etl.warehouse.write.watch import renew_watch


def renew_after_changes(db: Database) -> None:
    """Bring up to date what follows from usage and prices but is not renewed with them."""
    renew_watch(db)
    renew_forecasts(db)
