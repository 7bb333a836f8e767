"""Files in S3: paged listings, and objects that are read whole and verified, large ones into a
temporary file.

A listing is valid only with its ``KeyCount`` and ``IsTruncated``: a truncated response is not an
empty folder. An object is valid only when all of it arrived. Its length is checked, its checksum
where S3 stores one, and the size in the listing unless the object was replaced since. The etag is
the one in the response.

The bucket may be in any region: boto3 follows S3's redirect and remembers it. It may belong to
another account, which must then allow the access too. Requester Pays buckets are not read.

Source: S3 API reference, ListObjectsV2, GetObject, "Error responses" (checked 2026-11-25).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from etl.errors import (
    AccessError,
    BedrockUsageError,
    FileGoneError,
    RejectError,
    RetriableError,
    SourceError,
)
from etl.sources.aws import DENIED, Place
from etl.sources.boto import urllib3
from etl.sources.layouts import (
    is_skipped_below,
    is_skipped_file,
    is_skipped_folder,
    parse_s3_uri,
)
from etl.sources.stores import SMALL_BYTES, Content, Listing, Pieces, StoredFile
from etl.times import utc_text

# The most keys that S3 returns in a page.
PAGE_KEYS = 1000

_CHUNK_BYTES = 1 << 18

_ELSEWHERE = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
_ADVICE: Mapping[str, tuple[type[BedrockUsageError], str]] = {
    "NoSuchKey": (FileGoneError, "{address} is no longer there"),
    "NoSuchBucket": (
        AccessError,
        "there is no bucket {bucket}: check the name in {address}",
    ),
    "InvalidObjectState": (
        RejectError,
        "is archived in S3 Glacier: restore it (aws s3api restore-object), then read it again",
    ),
    "locked": (
        AccessError,
        "{address} is encrypted and access to its KMS key was denied ({code}): allow {key_action}"
        " on that key, in the policy of the role or user that runs this and in the key policy",
    ),
    "denied": (
        AccessError,
        "AccessDenied on {action} for {address}: add {action} on the bucket to the policy of the"
        " role or user that runs this (`bedrock-usage policy` prints it). A bucket of another"
        " account must also allow it in its bucket policy",
    ),
    "elsewhere": (
        AccessError,
        "{address} is in another region, and S3 does not say which: set AWS_REGION to the region"
        " that `aws s3api get-bucket-location --bucket {bucket}` prints",
    ),
}


class S3Store:
    """The objects that an account can read, in any bucket; see ``etl.sources.stores.Store``.

    ``place``: the account whose credentials are used, and the region of the first request.
    """

    def __init__(self, place: Place, *, page_keys: int = PAGE_KEYS) -> None:
        self._place = place
        self._page_keys = page_keys

    def find(self, path: str) -> StoredFile | str:
        """Return the object with this address, or the folder that it names as a prefix.

        Raises ConfigError for an invalid address, RejectError if nothing is there.
        """
        bucket, key = parse_s3_uri(path)
        folder = key if key.endswith("/") or not key else f"{key}/"
        for prefix in dict.fromkeys((key, folder)):
            answer = self._list(f"s3://{bucket}/{prefix}", {"MaxKeys": 1})
            for first in answer.get("Contents", ()):
                if first["Key"].startswith(folder):
                    return f"s3://{bucket}/{folder}"
                if first["Key"] == key:
                    return _stored(bucket, first)
        raise RejectError(f"there is nothing at {path}: check the name")

    def list_folder(self, folder: str) -> Listing:
        names, has_files = list[str](), False
        bucket = parse_s3_uri(folder).bucket
        for page in self._pages(folder, {"Delimiter": "/"}):
            for found in page.get("CommonPrefixes", ()):
                child = f"s3://{bucket}/{found['Prefix']}"
                if not is_skipped_folder(child):
                    names.append(child[len(folder) : -1])
            has_files = has_files or any(True for _ in _files(bucket, page))
        return Listing(names, has_files)

    def files(self, folder: str) -> Iterator[StoredFile]:
        for page in self._pages(folder, {"Delimiter": "/"}):
            yield from _files(parse_s3_uri(folder).bucket, page)

    def files_below(
        self, folder: str, after: str = "", before: str | None = None
    ) -> Iterator[StoredFile]:
        key = parse_s3_uri(after).key if after else ""
        last, is_skipped = folder, False
        for page in self._pages(folder, {"StartAfter": key} if key else {}):
            for file in _files(parse_s3_uri(folder).bucket, page):
                if before is not None and file.uri >= before:
                    return
                if file.folder != last:
                    last, is_skipped = file.folder, is_skipped_below(folder, file.folder)
                if not is_skipped:
                    yield file

    def read(self, file: StoredFile) -> Content:
        bucket, key = parse_s3_uri(file.uri)
        content: list[Content] = []

        def finish(answer: dict[str, Any]) -> None:
            content[:] = [self._read_body(answer, file)]

        try:
            self._place.call(
                "s3",
                "GetObject",
                {"Bucket": bucket, "Key": key},
                requires="Body",
                finish=finish,
            )
        except SourceError as error:
            raise explain_s3(error, "s3:GetObject", file.uri) from None
        return content[0]

    def _read_body(self, answer: Mapping[str, Any], file: StoredFile) -> Content:
        etag = str(answer.get("ETag", "")).strip('"')
        buffer = _Buffer()
        with closing(answer["Body"]) as body:
            for chunk in self._chunks(body):
                buffer.add(chunk)
        if not etag or (etag == file.etag and buffer.size != file.size):
            raise RetriableError("incomplete object: its size differs from the listing")
        return Content(buffer.content(), etag)

    def _chunks(self, body: Any) -> Iterator[bytes]:
        """Yield the body up to its end, where boto3 verifies length and checksum."""
        while True:
            self._place.clock.check()
            try:
                chunk = body.read(_CHUNK_BYTES)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise RetriableError(f"the connection was lost ({type(error).__name__})") from None
            if not chunk:
                return
            yield chunk

    def _pages(self, folder: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        query = {"MaxKeys": self._page_keys, **parameters}
        while True:
            page = self._list(folder, query)
            yield page
            if not page["IsTruncated"]:
                return
            query["ContinuationToken"] = page["NextContinuationToken"]

    def _list(self, address: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        bucket, prefix = parse_s3_uri(address)
        try:
            return self._place.call(
                "s3",
                "ListObjectsV2",
                {"Bucket": bucket, "Prefix": prefix, **parameters},
                requires="KeyCount",
                finish=_check_page,
            )
        except SourceError as error:
            raise explain_s3(error, "s3:ListBucket", address) from None


class _Buffer:
    """The content of an object: in memory, or in an unnamed file if it is large."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=SMALL_BYTES)  # noqa: SIM115
        self.size = 0

    def __del__(self) -> None:
        self._file.close()

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise RejectError(
                f"cannot be stored in {tempfile.gettempdir()}: {error.strerror}"
            ) from None

    def content(self) -> bytes | Pieces:
        if self.size > SMALL_BYTES:
            return self._pieces
        self._file.seek(0)
        return self._file.read()

    def _pieces(self) -> Iterator[bytes]:
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK_BYTES):
            yield chunk


def _check_page(page: Mapping[str, Any]) -> None:
    has_token = not page.get("IsTruncated") or page.get("NextContinuationToken")
    if "IsTruncated" not in page or not has_token:
        raise RetriableError("incomplete listing: it does not say whether there are more pages")


def _files(bucket: str, page: Mapping[str, Any]) -> Iterator[StoredFile]:
    for found in page.get("Contents", ()):
        if not is_skipped_file(found["Key"].rpartition("/")[2]):
            yield _stored(bucket, found)


def _stored(bucket: str, found: Mapping[str, Any]) -> StoredFile:
    folder, slash, name = found["Key"].rpartition("/")
    modified = found.get("LastModified")
    return StoredFile(
        f"s3://{bucket}/{folder}{slash}",
        name,
        found["ETag"].strip('"'),
        found["Size"],
        utc_text(modified) if modified else None,
    )


def explain_s3(error: SourceError, action: str, address: str) -> BedrockUsageError:
    """Return the error with the address and, for S3's own errors, with what to do about it."""
    kind, words = _ADVICE.get(_case(error), (type(error), "{address}: {error}"))
    explained = kind(
        words.format(
            address=address,
            bucket=parse_s3_uri(address).bucket,
            action=action,
            key_action=error.action if str(error.action).startswith("kms:") else "kms:Decrypt",
            code=error.code,
            error=error,
        )
    )
    if isinstance(explained, SourceError):
        explained.code, explained.action, explained.date = error.code, error.action, error.date
    return explained


def _case(error: SourceError) -> str:
    code = str(error.code)
    if error.action == "sts:AssumeRole":
        return "role not assumed"  # its own message says what to do
    if code.startswith("KMS.") or (code in DENIED and str(error.action).startswith("kms:")):
        return "locked"
    if code in DENIED:
        return "denied"
    return "elsewhere" if code in _ELSEWHERE else code
