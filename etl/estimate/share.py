"""Share tokens between callers in proportion."""

from __future__ import annotations

import numpy as np

from etl.estimate.lag import Array


def parts(due: Array, tokens: Array) -> Array:
    """Share each bucket's tokens in proportion to ``due`` (bucket x caller), in fractions.

    A bucket with nothing due to anyone is shared to nobody.
    """
    total = due.sum(axis=1)
    found: Array = due * np.where(total > 0, tokens / np.where(total > 0, total, 1), 0)[:, None]
    return found
