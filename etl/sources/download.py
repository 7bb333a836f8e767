"""Download a public file over HTTPS: with a time limit, a size limit, and retries.

Uses botocore's HTTP client, so proxies and AWS_CA_BUNDLE apply as they do to AWS's own operations.
Redirects are not followed. Nothing of a response that is not the file is shown.
"""

from __future__ import annotations

import os
from typing import Any

from etl.clock import Clock
from etl.errors import AccessError, RetriableError
from etl.sources.aws import MAX_ATTEMPTS, pause
from etl.sources.boto import botocore, urllib3

_SECONDS = (10, 60)
_PIECE_BYTES = 1 << 18


def download(url: str, clock: Clock, *, max_bytes: int) -> bytes:
    """Return a file's content. Raises the kinds of SourceError, and StoppedError."""
    for attempt in range(1, MAX_ATTEMPTS + 1):
        clock.check()
        try:
            return _download_once(url, clock, max_bytes)
        except RetriableError:
            if attempt == MAX_ATTEMPTS:
                raise
            clock.sleep(pause(attempt))
    raise AssertionError("unreachable")


def _download_once(url: str, clock: Clock, max_bytes: int) -> bytes:
    session = botocore.httpsession.URLLib3Session(
        verify=os.environ.get("AWS_CA_BUNDLE") or True,
        proxies=botocore.utils.get_environ_proxies(url),
        timeout=_SECONDS,
    )
    request = botocore.awsrequest.AWSRequest("GET", url, stream_output=True)
    try:
        response = session.send(request.prepare())
        _check_status(url, response.status_code)
        return _content(url, response.raw, clock, max_bytes)
    except botocore.exceptions.SSLError:
        raise AccessError(
            f"{url}: the certificate is not trusted; if a proxy replaces it, set AWS_CA_BUNDLE"
        ) from None
    except (botocore.exceptions.HTTPClientError, urllib3.exceptions.HTTPError) as error:
        raise RetriableError(
            f"{url}: no complete response ({type(error).__name__}); check the network and the proxy"
        ) from None
    finally:
        session.close()


def _check_status(url: str, status: int) -> None:
    if status == 429 or status >= 500:
        raise RetriableError(f"{url}: AWS is unavailable (HTTP {status})")
    if status != 200:
        raise AccessError(f"{url}: AWS does not return this file (HTTP {status})")


def _content(url: str, body: Any, clock: Clock, max_bytes: int) -> bytes:
    content = bytearray()
    for piece in body.stream(_PIECE_BYTES):
        clock.check()
        content += piece
        if len(content) > max_bytes:
            raise AccessError(
                f"{url}: larger than {max_bytes >> 20} MB, too large for a price list"
            )
    return bytes(content)
