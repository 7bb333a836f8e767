"""Read one place's catalogue: the names of models, what each profile stands for, capacity.

It rarely changes. It is read once a day, and within the hour when a call names an application
profile that is not known yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from etl.errors import AccessError, RejectError, SourceError
from etl.normalise.boundary import attempt
from etl.normalise.foundation_models import parse_foundation_model
from etl.normalise.profiles import parse_profile
from etl.normalise.provisioned import continue_rows, parse_provisioned
from etl.registry import source_of
from etl.sources.catalogue import (
    fetch_foundation_models,
    fetch_inference_profiles,
    fetch_provisioned_throughputs,
)
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.times import utc_text
from etl.warehouse.bookmarks import StreamState, latest_throughputs, unknown_profiles
from etl.warehouse.write.batch import Batch, Reject

ParsedItem = TypeVar("ParsedItem")

_EVERY = source_of("catalogue").read_every
EVERY_WITH_UNKNOWN = timedelta(hours=1)


def sync_catalogue(job: Job, options: SyncOptions) -> None:
    """Read models, profiles and capacity, if due.

    If capacity cannot be read, models and profiles are written all the same. Where that is denied,
    it is next tried when the catalogue is next due.
    """
    place, as_of, state = job.place, job.place.clock.now(), job.state()
    unknown = job.ask(lambda db: unknown_profiles(db, place.account_id, place.region))
    if not is_due(state, as_of, has_unknown=bool(unknown)):
        return
    batch = Batch(files=[str(job.stream)])
    models = _parse(batch, job, fetch_foundation_models(place), parse_foundation_model)
    batch.renewed["foundation_models"] = models
    batch.profiles = _parse(
        batch,
        job,
        fetch_inference_profiles(place, unknown),
        lambda profile: parse_profile(profile, application_key=options.keys.application_tag),
    )
    failure = _add_capacity(batch, job, as_of)
    if failure is None or isinstance(failure, AccessError):
        batch.state = replace(
            state, covered_from=state.covered_from or as_of, watermark=as_of, read_at=as_of
        )
    job.write(batch)
    if failure is not None:
        raise failure
    job.report("whole", done=1, read=len(models) + len(batch.profiles), share=1.0)


def _add_capacity(batch: Batch, job: Job, as_of: datetime) -> SourceError | None:
    """Add the provisioned throughputs to the batch; return why that failed, or None."""
    place = job.place
    try:
        listed = _parse(
            batch,
            job,
            fetch_provisioned_throughputs(place),
            lambda summary: parse_provisioned(
                summary,
                account_id=place.account_id,
                region=place.region,
                seen_at=utc_text(as_of),
            ),
        )
    except SourceError as error:
        return error
    latest = job.ask(lambda db: latest_throughputs(db, place.account_id, place.region))
    batch.renewed["provisioned_throughputs"] = continue_rows(listed, latest)
    return None


def is_due(state: StreamState, as_of: datetime, *, has_unknown: bool) -> bool:
    """Return whether the catalogue should be read now."""
    every = EVERY_WITH_UNKNOWN if has_unknown else _EVERY
    return state.read_at is None or as_of - state.read_at >= every


def _parse(
    batch: Batch, job: Job, raw: Iterable[dict[str, Any]], parse: Callable[[object], ParsedItem]
) -> list[ParsedItem]:
    """Return the items that could be read. The others become rejects in the batch."""
    parsed = []
    for index, one in enumerate(raw):
        try:
            parsed.append(attempt(parse, one))
        except RejectError as error:
            batch.rejects.append(Reject(str(job.stream), f"[{index}]", str(error)))
    return parsed
