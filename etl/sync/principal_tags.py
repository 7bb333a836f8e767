"""Read the tags of the roles and users that make an account's calls, once a day.

IAM has no regions: what one region of the account has read, no other reads again that day.
"""

from __future__ import annotations

import json
from dataclasses import replace

from etl.normalise.rows import PrincipalTags
from etl.normalise.rules import role_name_of
from etl.normalise.teams import read_any_tags
from etl.registry import source_of
from etl.sources.principal_tags import fetch_role_tags, fetch_user_tags
from etl.sync.job import Job
from etl.sync.options import SyncOptions
from etl.times import utc_text
from etl.warehouse.bookmarks import principals_of, read_since
from etl.warehouse.write.batch import Batch

_SOURCE = source_of("principal_tags")


def sync_principal_tags(job: Job, options: SyncOptions) -> None:
    """Read the tags of every principal of the account that has made a call, if due."""
    place, as_of, state = job.place, job.place.clock.now(), job.state()
    since = utc_text(as_of - _SOURCE.read_every)
    if job.ask(lambda db: read_since(db, _SOURCE.stream, place.account_id, since)):
        return
    rows = []
    for arn in job.ask(lambda db: principals_of(db, place.account_id)):
        role, name = role_name_of(arn), arn.rpartition("/")[2]
        found = fetch_role_tags(place, role) if role else fetch_user_tags(place, name)
        # Of one that was deleted, what is known stays: its calls stay too.
        if found is None:
            continue
        tags = json.dumps(read_any_tags(found), ensure_ascii=False, sort_keys=True)
        rows.append(PrincipalTags(arn, tags))
    batch = Batch(files=[str(job.stream)], renewed={"principal_tags": rows})
    batch.state = replace(
        state, covered_from=state.covered_from or as_of, watermark=as_of, read_at=as_of
    )
    job.write(batch)
    job.report("whole", done=1, read=len(rows), share=1.0)
