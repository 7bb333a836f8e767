"""AWS's event stream: frames with checksums, one event per frame.

Written as the protocol's page describes it, and read back by botocore in the tests:
https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html (the same encoding).
"""

from __future__ import annotations

import struct
from binascii import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """Return one frame: lengths, their checksum, headers, payload, total checksum."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 12 + len(head) + len(payload) + 4, len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
