"""Read AWS's Price List and bring the warehouse's prices in line; ``prices sync`` and ``sync``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from sqlite_utils import Database

from etl.clock import Clock
from etl.config import ALL_REGIONS, Config
from etl.errors import BedrockUsageError, DataError, SourceError, StoppedError
from etl.normalise.model_ids import price_model_ids
from etl.normalise.offer_files import SERVICE_CODES, Offer, parse_offer, parse_products
from etl.normalise.price_list import Problem, Snapshot, snapshots
from etl.show.escaping import harmless
from etl.show.numbers import count
from etl.sources.accounts import open_own_account
from etl.sources.aws import Place
from etl.sources.price_list import API_REGION, PriceFile, api_files, local_files, public_files
from etl.warehouse.price_sync import (
    SyncedPrices,
    is_sync_due,
    known_book,
    note_sync,
    price_list_tables,
    sync_prices,
    used_models,
    used_regions,
)


@dataclass(frozen=True)
class PriceListChoice:
    """What to read. ``folder``: a folder or file instead of AWS. ``regions`` None: all."""

    regions: Collection[str] | None
    folder: Path | None = None
    api: bool = False
    as_of: date | None = None
    profile: str | None = None


@dataclass
class PriceReport:
    """What was read and what changed. ``failures``: what could not be read, and why."""

    synced: SyncedPrices
    problems: list[Problem]
    files: int
    failures: list[str]
    used_models: Collection[str]
    versions: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every price that matters to the calls so far was understood and applied."""
        unclear = {one.model_id for one in self.problems if not one.is_excluded}
        unclear |= {one.key.model_id for one in self.synced.stopped}
        used = {name for model in self.used_models for name in price_model_ids(model)}
        return not (unclear & used or self.failures or self.synced.held)


def regions_of(db: Database, config: Config) -> set[str] | None:
    """Return the regions of the configuration, else those of the calls; None for all."""
    if config.sync.regions != ALL_REGIONS:
        return set(config.sync.regions)
    return used_regions(db) or None


def sync_price_list(
    db: Database,
    choice: PriceListChoice,
    clock: Clock,
    *,
    accept: bool = False,
    dry_run: bool = False,
) -> PriceReport:
    """Read the Price List and apply it. Raises ConfigError, DataError and StoppedError.

    A file that cannot be read is reported and does not stop the others.
    """
    failures: list[str] = []
    offers = list(_offers(choice, clock, failures))
    if not offers and not failures:
        failures.append("there is no price list for these regions and this day")
    tables = price_list_tables()
    found: list[Snapshot] = []
    for offer in offers:
        found += snapshots(offer, tables, known_book(db, offer.published_at), choice.regions)
    synced = sync_prices(db, found, today=clock.now().date(), accept=accept, dry_run=dry_run)
    return PriceReport(
        synced,
        [problem for snapshot in found for problem in snapshot.problems],
        len(offers),
        failures,
        used_models(db),
        sorted({f"{offer.service_code} {offer.version}" for offer in offers}),
    )


def _offers(choice: PriceListChoice, clock: Clock, failures: list[str]) -> Iterator[Offer]:
    for file in _files(choice, clock, failures):
        try:
            content = file.read()
            offer = parse_products(content) if isinstance(content, list) else parse_offer(content)
        except (DataError, SourceError) as error:
            failures.append(f"{file.name}: {error}")
        else:
            if offer is not None:
                yield offer


def _files(choice: PriceListChoice, clock: Clock, failures: list[str]) -> Iterator[PriceFile]:
    if choice.folder is not None:
        yield from local_files(choice.folder)
        return
    place = None
    if choice.api:
        place = Place(open_own_account(choice.profile, clock), API_REGION, clock)
    for code in SERVICE_CODES:
        try:
            if place:
                yield from api_files(code, choice.regions, choice.as_of, place)
            else:
                yield from public_files(code, choice.regions, choice.as_of, clock)
        except SourceError as error:
            failures.append(f"{code}: {error}")


def sync_prices_if_due(
    db: Database, config: Config, clock: Clock, profile: str | None, report: Callable[[str], None]
) -> None:
    """Read the Price List if the configuration says so and a week has passed.

    Without calls there is nothing to price. A failure is reported and affects nothing else; it is
    tried again a day later.
    """
    regions = regions_of(db, config)
    if config.prices.sync == "off" or not regions or not is_sync_due(db, clock.now()):
        return
    choice = PriceListChoice(regions, api=config.prices.api, profile=profile)
    try:
        found = sync_price_list(db, choice, clock)
    except StoppedError:
        raise
    except BedrockUsageError as error:
        lines, is_read, is_complete = [f"Prices not read   {harmless(error)}"], False, False
    else:
        lines, is_read, is_complete = summary_lines(found), not found.failures, found.is_complete
    note_sync(db, clock.now(), is_complete=is_read)
    if not is_complete:
        lines.append("See               bedrock-usage prices sync --dry-run")
    for line in lines:
        report(line)


def summary_lines(report: PriceReport) -> list[str]:
    """Return the result in a few lines."""
    synced = report.synced
    lines = [
        f"Prices            {count(len(synced.changes), 'change')},"
        f" {synced.confirmed:,} confirmed as they were"
    ]
    if synced.held:
        lines.append(f"Held back         {count(len(synced.held), 'change')}")
    if synced.stopped:
        lines.append(f"Not clear         {count(len(synced.stopped), 'price')}")
    lines += [f"Not read          {harmless(failure)}" for failure in report.failures]
    return lines
