"""S3, IAM, SNS and CloudWatch's dashboards and alarms, answered by moto in this process.

Buckets in another region are answered here; CloudWatch's metrics are in ``tests.aws.cloudwatch``.

Moto is imported at the first such request (about half a second, once per process) and called as a
WSGI application: no second server, no second port. It takes the account from a header that we set, so
it agrees with us about every key. Its state is global to the process: two simultaneous fakes share
buckets, and the one that stops first empties them.

Moto finds every bucket from every region. S3 does not: us-east-1 names the region in an error about
the signature, the others in a redirect's header ("Error responses", checked 2026-11-25).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from tests.aws.calls import Answer, Call

SERVICES = ("s3", "iam", "sns")
OPERATIONS = {
    "cloudwatch": {
        *("PutDashboard", "GetDashboard", "ListDashboards", "DeleteDashboards"),
        *("PutMetricAlarm", "DescribeAlarms", "DeleteAlarms"),
        *("TagResource", "UntagResource", "ListTagsForResource"),
    }
}
_OURS = {"connection", "content-length", "transfer-encoding", "date", "server"}
_lock = threading.Lock()


def answers(call: Call) -> bool:
    """Return whether moto answers this operation."""
    return call.service in SERVICES or call.name in OPERATIONS.get(call.service, ())


def forward(call: Call) -> Answer:
    """Return moto's answer to the unchanged request, or S3's if it came to the wrong region."""
    with _lock:
        client = _client()
    region = _bucket_region(call)
    if region not in (None, call.region):
        return _wrong_region(call.region, region)
    http = call.http
    response = client.open(
        f"{http.path}?{http.query}" if http.query else http.path,
        method=http.method,
        headers=[*http.headers.items(), ("x-moto-account-id", call.account)],
        data=http.body,
    )
    ours = _OURS - {"content-length"} if http.method == "HEAD" else _OURS
    if call.name == "CreateRole" and response.status_code == 200:
        arn = _role_arn(call.account, call.params["RoleName"])
        call.aws.accounts.note_role(arn, call.aws.clock.now())
    kept = {k: v for k, v in response.headers.items() if k.lower() not in ours}
    return Answer(response.status_code, response.data, kept)


def trusts(role_arn: str, caller_arn: str) -> bool:
    """Return whether IAM made the role and its trust policy allows this caller."""
    role = _role(role_arn)
    if role is None:
        return False
    account = caller_arn.split(":")[4]
    welcome = {caller_arn, account, f"arn:aws:iam::{account}:root"}
    return any(
        statement["Effect"] == "Allow"
        and statement["Action"] == "sts:AssumeRole"
        and statement["Principal"].get("AWS") in welcome
        for statement in json.loads(role.assume_role_policy_document)["Statement"]
    )


def allows(role_arn: str, action: str, resources: Iterable[str]) -> bool:
    """Return whether a role's inline policies allow an action on all resources.

    A role that IAM did not make may do anything: it has no policies.
    """
    role = _role(role_arn)
    if role is None:
        return True
    statements = [
        statement
        for document in role.policies.values()
        for statement in json.loads(document)["Statement"]
        if action in statement["Action"]
    ]
    patterns = [pattern for statement in statements for pattern in _listed(statement["Resource"])]
    return all(any(fnmatchcase(one, pattern) for pattern in patterns) for one in resources)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _role(role_arn: str) -> Any:
    if not _client.cache_info().currsize:
        return None
    from moto.iam.models import iam_backends

    roles = iam_backends[role_arn.split(":")[4]]["aws"].roles.values()
    return next((role for role in roles if role.arn == role_arn), None)


def _role_arn(account: str, name: str) -> str:
    from moto.iam.models import iam_backends

    return str(iam_backends[account]["aws"].get_role(name).arn)


def _bucket_region(call: Call) -> str | None:
    """Return the bucket's region, None if it does not exist or is being created."""
    if call.service != "s3" or call.name == "CreateBucket":
        return None
    from moto.s3.models import s3_backends

    buckets = s3_backends[call.account]["aws"].buckets
    bucket = buckets.get(call.params.get("Bucket"))
    return bucket.region_name if bucket else None


def _wrong_region(asked: str, region: str) -> Answer:
    if asked == "us-east-1":
        code, status, more = "AuthorizationHeaderMalformed", 400, f"<Region>{region}</Region>"
        headers = {}
    else:
        code, status, more = "PermanentRedirect", 301, ""
        headers = {"x-amz-bucket-region": region}
    body = f"<Error><Code>{code}</Code><Message>wrong region</Message>{more}</Error>"
    return Answer(status, body.encode(), headers | {"Content-Type": "application/xml"})


def reset() -> None:
    """Delete all buckets and users, if moto was ever called."""
    if _client.cache_info().currsize:
        from moto.moto_api._internal import moto_api_backend

        moto_api_backend.reset()


@cache
def _client() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.test import Client

    return Client(DomainDispatcherApplication(create_backend_app), use_cookies=False)
