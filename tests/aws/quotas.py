"""Service Quotas: the limits that apply to an account in a region, and AWS's defaults.

https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.aws.calls import AwsError, Call, Handler
from tests.aws.paging import page

PAGE = 100


def _listed(call: Call, quotas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if call.params["ServiceCode"] != "bedrock":
        raise AwsError("NoSuchResourceException", "The service is not supported by Service Quotas.")
    listed, token = page(call, quotas, call.params.get("MaxResults", PAGE))
    return {"Quotas": listed} | ({"NextToken": token} if token else {})


def list_quotas(call: Call) -> dict[str, Any]:
    """Answer with a page of the quotas whose applied value is known."""
    return _listed(call, call.place.quotas)


def list_default_quotas(call: Call) -> dict[str, Any]:
    """Answer with a page of the defaults of all quotas."""
    return _listed(call, call.place.default_quotas)


OPERATIONS: dict[str, Handler] = {
    "ListServiceQuotas": list_quotas,
    "ListAWSDefaultServiceQuotas": list_default_quotas,
}
