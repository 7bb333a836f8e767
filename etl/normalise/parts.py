"""Split a number into whole parts that add up to it exactly, by the largest remainder.

Every part gets the whole of its share, and what is left goes, one each, to those that lost most. So
no part is off by one or more. Of equal remainders, the first wins.
"""

from __future__ import annotations

from collections.abc import Sequence


def whole_parts(number: int, weights: Sequence[int]) -> list[int]:
    """Return a part of a number for each weight, in order; weights are 0 or more.

    Raises ValueError if all weights are 0: then nothing can take the number.
    """
    total = sum(weights)
    if not total:
        raise ValueError("no weight is above 0")
    sign = -1 if number < 0 else 1
    shares = [divmod(abs(number) * weight, total) for weight in weights]
    parts = [whole for whole, _ in shares]
    left = abs(number) - sum(parts)
    by_remainder = sorted(range(len(shares)), key=lambda at: (-shares[at][1], at))
    for at in by_remainder[:left]:
        parts[at] += 1
    return [sign * part for part in parts]
