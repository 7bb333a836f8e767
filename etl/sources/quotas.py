"""Service Quotas: the limits of Amazon Bedrock in an account and region.

ListServiceQuotas has the values that apply, but leaves out quotas for which only AWS's default is
known; ListAWSDefaultServiceQuotas has the defaults of all.

Source: Service Quotas API reference, both operations (checked 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from etl.sources.aws import Place

# There are more than a thousand quotas; without it, a page has a few.
_PAGE = {"ServiceCode": "bedrock", "MaxResults": 100}


def fetch_applied_quotas(place: Place) -> Iterator[dict[str, Any]]:
    """Yield every quota whose applied value is known."""
    for page in place.pages("servicequotas", "ListServiceQuotas", _PAGE, requires="Quotas"):
        yield from page["Quotas"]


def fetch_default_quotas(place: Place) -> Iterator[dict[str, Any]]:
    """Yield every quota with AWS's default."""
    for page in place.pages(
        "servicequotas", "ListAWSDefaultServiceQuotas", _PAGE, requires="Quotas"
    ):
        yield from page["Quotas"]
