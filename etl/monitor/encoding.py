"""Names of applications and models as CloudWatch accepts them.

A dimension's value is 1 to 1,024 ASCII characters, with no control characters, at least one
non-whitespace character, and no leading colon (API_Dimension, checked 2026-11-26). Names come from
user agents and tags, which may contain anything. So all other characters are percent-encoded as
UTF-8, and so are quotes, backslashes and the percent sign itself. Different names stay different,
and an encoded name can be used in a search expression unchanged. If the value is still too long, a
digest replaces its end.
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 1024

_DIGEST = 16
_ENCODED = re.compile(r"""[^ -~]|["'\\%]|^[: ]| $""")


def to_dimension(name: str) -> str:
    """Return the value for a name; different names never share one."""
    value = _ENCODED.sub(_percent, name) or "%"
    if len(value) <= LONGEST:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:_DIGEST]
    # A lone % at the end: no encoded name has one, so no other name has this value.
    return f"{value[: LONGEST - _DIGEST - 2]}~{digest}%"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
