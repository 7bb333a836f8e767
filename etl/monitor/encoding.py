"""Names of applications and models as CloudWatch takes them.

A dimension's value is 1 to 1,024 ASCII characters, none a control character, one at least no
whitespace, the first no colon (API_Dimension, checked 2026-11-26). Names come from user agents and
tags, which may hold anything. So every other character is percent-encoded as UTF-8, and so are
quotes, backslashes and the percent sign itself: no two names become one, and a name can be put into
a search expression as it is. Of what is still too long the end gives way to a digest.
"""

from __future__ import annotations

import hashlib
import re

LONGEST = 1024

_DIGEST = 16
_ENCODED = re.compile(r"""[^ -~]|["'\\%]|^[: ]| $""")


def to_dimension(name: str) -> str:
    """Return the value that stands for a name; different names never share one."""
    value = _ENCODED.sub(_percent, name) or "%"
    if len(value) <= LONGEST:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:_DIGEST]
    # A lone % at the end: no encoded name has one, so no other name can come to this.
    return f"{value[: LONGEST - _DIGEST - 2]}~{digest}%"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
