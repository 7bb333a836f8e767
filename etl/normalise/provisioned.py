"""Provisioned throughputs: the summaries of ``ListProvisionedModelThroughputs``, with history.

They are paid by the hour and model unit, whether or not they are used. The list shows only what
exists now, so what was listed, and when, is kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from etl.errors import RejectError
from etl.normalise.fields import count, mapping, text, utc_time
from etl.normalise.model_ids import parse_model_id
from etl.normalise.rows import ProvisionedThroughput

# What a row says of the throughput; the other fields say when and where it was seen.
_VALUES = ("model_id", "served_model_arn", "model_units", "commitment_duration", "status",
           "created_at", "modified_at")  # fmt: skip


def parse_provisioned(
    summary: object, *, account_id: str, region: str, seen_at: str
) -> ProvisionedThroughput:
    """Read one summary, seen at a time. Raises RejectError if an hour of it cannot be counted."""
    raw = mapping(summary)
    arn, status = text(raw.get("provisionedModelArn")), text(raw.get("status"))
    if arn is None or status is None:
        raise RejectError("a provisioned throughput without provisionedModelArn or status")
    units = _units(raw.get("modelUnits"))
    created = _moment(raw.get("creationTime"), "creationTime")
    modified = raw.get("lastModifiedTime")
    model = text(raw.get("foundationModelArn"))
    return ProvisionedThroughput(
        provisioned_model_arn=arn,
        seen_from=seen_at,
        seen_to=seen_at,
        account_id=account_id,
        region=region,
        model_id=parse_model_id(model).canonical_model_id if model else None,
        served_model_arn=text(raw.get("modelArn")),
        model_units=units,
        commitment_duration=text(raw.get("commitmentDuration")),
        status=status,
        created_at=created,
        modified_at=_moment(modified, "lastModifiedTime") if modified else created,
    )


def _units(value: object) -> int:
    try:
        units = count(value)
    except ValueError:
        units = None
    if units is None:
        raise RejectError("a provisioned throughput whose modelUnits is not a whole number")
    return units


def _moment(value: object, name: str) -> str:
    """Return a time, which boto3 gives as a datetime and a file as text."""
    return utc_time(value.isoformat() if hasattr(value, "isoformat") else value, name)


def continue_rows(
    listed: Iterable[ProvisionedThroughput], latest: Iterable[ProvisionedThroughput]
) -> list[ProvisionedThroughput]:
    """Return the rows to write: the latest row, now seen longer, or a new one where it changed.

    ``latest``: the last stored row of each throughput.
    """
    stored = {row.provisioned_model_arn: row for row in latest}
    return [_continued(row, stored.get(row.provisioned_model_arn)) for row in listed]


def _continued(
    row: ProvisionedThroughput, before: ProvisionedThroughput | None
) -> ProvisionedThroughput:
    if before is not None and all(getattr(row, n) == getattr(before, n) for n in _VALUES):
        return row._replace(seen_from=before.seen_from)
    return row
