"""S3 and IAM, answered by moto in this process, but for a bucket in another region.

Moto is imported at the first such request (about half a second, once a process) and called as a WSGI
application: no second server, no second port. It takes the account from a header, which we set, so it
agrees with us about every key. Its state is the process's: two fakes at the same time share buckets,
and the one that stops first empties them.

Moto finds every bucket from everywhere. S3 does not: us-east-1 names the region in an error about the
signature, the others in a header of a redirect ("Error responses", checked 2026-11-25).
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from tests.aws.calls import Answer, Call

SERVICES = ("s3", "iam")
_OURS = {"connection", "content-length", "transfer-encoding", "date", "server"}
_lock = threading.Lock()


def forward(call: Call) -> Answer:
    """Return moto's answer to the request as it came, or S3's to one that came to a wrong region."""
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
    kept = {k: v for k, v in response.headers.items() if k.lower() not in ours}
    return Answer(response.status_code, response.data, kept)


def _bucket_region(call: Call) -> str | None:
    """Return where the bucket is, None if there is none or it is being made."""
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
    """Forget all buckets and users, if moto was ever called."""
    if _client.cache_info().currsize:
        from moto.moto_api._internal import moto_api_backend

        moto_api_backend.reset()


@cache
def _client() -> Any:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.test import Client

    return Client(DomainDispatcherApplication(create_backend_app), use_cookies=False)
