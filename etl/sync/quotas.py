"""Read one place's Service Quotas, once a day: what limits the use of models."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from etl.errors import RejectError
from etl.normalise.boundary import attempt
from etl.normalise.quotas import known_models, parse_quota
from etl.normalise.rows import Quota
from etl.registry import source_of
from etl.sources.quotas import fetch_applied_quotas, fetch_default_quotas
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.times import utc_text
from etl.warehouse.bookmarks import names_of_models
from etl.warehouse.write.batch import Batch, Reject

_SOURCE = source_of("quotas")


def sync_quotas(job: Job, options: SyncOptions) -> None:
    """Read the quotas, if due: those that apply, and AWS's default where none is known."""
    place, as_of, state = job.place, job.place.clock.now(), job.state()
    if state.read_at is not None and as_of - state.read_at < _SOURCE.read_every:
        return
    models = known_models(job.ask(names_of_models))
    batch = Batch(files=[str(job.stream)])
    quotas: dict[str, Quota] = {}
    lists = (fetch_default_quotas(place), fetch_applied_quotas(place))
    for is_default, listed in zip((True, False), lists, strict=True):
        parse = partial(
            parse_quota,
            account_id=place.account_id,
            region=place.region,
            seen_at=utc_text(as_of),
            is_default=is_default,
            models=models,
        )
        for index, raw in enumerate(listed):
            try:
                quota = attempt(parse, raw)
            except RejectError as error:
                batch.rejects.append(Reject(str(job.stream), f"[{index}]", str(error)))
                continue
            if quota is not None:
                quotas[quota.quota_code] = quota
    batch.renewed["quotas"] = list(quotas.values())
    batch.state = replace(
        state, covered_from=state.covered_from or as_of, watermark=as_of, read_at=as_of
    )
    job.write(batch)
    job.report("whole", done=1, read=len(quotas), share=1.0)
