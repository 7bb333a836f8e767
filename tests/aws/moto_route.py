"""S3 and IAM, answered by moto in this process.

Moto is imported at the first such request (about half a second, once a process) and called as a WSGI
application: no second server, no second port. It takes the account from a header, which we set, so it
agrees with us about every key. Its state is the process's: two fakes at the same time share buckets,
and the one that stops first empties them.
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
    """Return moto's answer to the request as it came."""
    with _lock:
        client = _client()
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
