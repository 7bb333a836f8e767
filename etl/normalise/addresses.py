"""Where a call came from: the address in an event, by default only its network.

An address may be a person's. A network of 256 addresses (IPv4 /24) or a site's prefix (IPv6 /48) is
enough to see that calls come from somewhere new. The warehouse holds whole addresses, or none, if
the configuration says so.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Literal

from etl.normalise.fields import text

AddressDetail = Literal["network", "whole", "none"]

DEFAULT_DETAIL: AddressDetail = "network"

_PREFIXES = {4: 24, 6: 48}

# The name of an AWS service, or "AWS Internal". A longer text is neither.
_MAX_LETTERS = 100


def find_address(source: object, detail: AddressDetail = DEFAULT_DETAIL) -> str | None:
    """Return what to keep of an event's ``sourceIPAddress``; None for nothing.

    An AWS service that called is kept by its name.
    """
    return _kept(source, detail) if isinstance(source, str) else None


# Few callers make millions of calls.
@lru_cache(maxsize=16_384)
def _kept(source: str, detail: AddressDetail) -> str | None:
    written = text(source)
    if written is None or detail == "none" or len(written) > _MAX_LETTERS:
        return None
    try:
        address = ipaddress.ip_address(written.partition("%")[0])
    except ValueError:
        return written if _is_name(written) else None
    address = getattr(address, "ipv4_mapped", None) or address
    if detail == "whole":
        return str(address)
    return str(ipaddress.ip_network((address, _PREFIXES[address.version]), strict=False))


# Nothing else is kept: with a port, or among others, it might be an address after all.
_is_name = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 .-]*").fullmatch
