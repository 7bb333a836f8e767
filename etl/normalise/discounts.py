"""A user's own discounts on list prices.

Discounts are ordered. For each kind of token, the first that matches is used; discounts do not add
up. All conditions of a discount must match. A condition is a text or several, with ``*`` for any
characters and ``?`` for one, case-sensitive, over the whole text. A discount of 0 percent exempts
what it matches from those after it.

The warehouse applies them in SQL (``int_account_rates``), so new accounts and models need nothing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import msgspec

from etl.normalise.token_kinds import PRICE_KINDS

# The tiers that calls can have; each has its own prices.
TIERS = ("standard", "batch", "flex", "priority", "latency")

Patterns = str | tuple[str, ...] | None

CONDITIONS = ("model", "region", "account", "tier", "kind")

# The first day is before all Bedrock calls; the last is far ahead of any contract.
_FIRST_DAY, _LAST_DAY = date(2023, 1, 1), date(2100, 1, 1)

_WILD = re.compile(r"[*?]")
_FORMS = {
    "model": (re.compile(r"[A-Za-z0-9._:/*?-]{1,2048}"), "a model's id"),
    "region": (re.compile(r"[a-z0-9*?-]{1,30}"), 'a region, like "us-east-1"'),
    "account": (re.compile(r"[0-9*?]{1,12}"), "an account id (12 digits)"),
}
_WHOLE = {
    "region": re.compile(r"[a-z]{2,6}(?:-[a-z]+)+-[0-9]{1,2}"),
    "account": re.compile(r"[0-9]{12}"),
}
_WORDS = {"tier": TIERS, "kind": PRICE_KINDS}


class Discount(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Conditions, and by how many percent list prices are lower where they are met.

    ``start``, ``end``: UTC days, half open; None is without limit. Raises ValueError if a value can
    match nothing, or the percentage or the days make no sense.
    """

    percent: int | float
    model: Patterns = None
    region: Patterns = None
    account: Patterns = None
    tier: Patterns = None
    kind: Patterns = None
    start: date | None = msgspec.field(default=None, name="from")
    end: date | None = msgspec.field(default=None, name="to")

    def __post_init__(self) -> None:
        for name in CONDITIONS:
            _check_patterns(name, self.patterns(name))
        if not 0 <= self.percent <= 100:
            raise ValueError(f"percent: {self.percent} is not between 0 and 100")
        if self.percent_text.partition(".")[2][4:]:
            raise ValueError(f"percent: {self.percent_text} has more than four decimals")
        for key, day in (("from", self.start), ("to", self.end)):
            if day is not None and not _FIRST_DAY <= day <= _LAST_DAY:
                raise ValueError(f"{key}: {day} is not between {_FIRST_DAY} and {_LAST_DAY}")
        if self.start and self.end and self.end <= self.start:
            raise ValueError(
                f"to: {self.end} must be after from ({self.start}): it is the first day without the"
                " discount"
            )

    def patterns(self, name: str) -> tuple[str, ...] | None:
        """Return the patterns of a condition; None where it is not given."""
        given: Patterns = getattr(self, name)
        return (given,) if isinstance(given, str) else given

    @property
    def is_for_all(self) -> bool:
        """Whether it matches every call, so that no discount after it is ever used."""
        return all(getattr(self, name) is None for name in (*CONDITIONS, "start", "end"))

    @property
    def percent_text(self) -> str:
        """The percentage as a decimal number, exactly as it was written."""
        return format(Decimal(repr(self.percent)).normalize(), "f")

    @property
    def kept_millionths(self) -> int:
        """What the discount leaves of a price, in millionths."""
        return int((100 - Decimal(self.percent_text)) * 10_000)

    def __str__(self) -> str:
        """The discount in one line: 15 % for model = 'anthropic.*', from 2026-11-01."""
        met = [
            f"{name} = {' or '.join(map(repr, patterns))}"
            for name in CONDITIONS
            if (patterns := self.patterns(name)) is not None
        ]
        met += [f"from {self.start}"] if self.start else []
        met += [f"to {self.end}"] if self.end else []
        return f"{self.percent_text} %" + (f" for {', '.join(met)}" if met else "")


def check_order(discounts: Sequence[Discount]) -> None:
    """Raise ValueError for a discount that can never be used."""
    for number, discount in enumerate(discounts[:-1], 1):
        if discount.is_for_all:
            raise ValueError(
                f"discounts #{number} matches everything, so those after it are never used;"
                " move it to the end"
            )


def _check_patterns(name: str, patterns: Sequence[str] | None) -> None:
    if patterns is None:
        return
    if not patterns:
        raise ValueError(f"{name} is empty; leave it out for any")
    for number, pattern in enumerate(patterns):
        if pattern in patterns[:number]:
            raise ValueError(f"{name}: {pattern!r} is listed twice")
        if name in _WORDS:
            _check_word(name, pattern)
        else:
            _check_form(name, pattern)


def _check_word(name: str, pattern: str) -> None:
    # Brackets are no wildcards here.
    glob = pattern.replace("[", "[[]")
    if not any(fnmatch.fnmatchcase(word, glob) for word in _WORDS[name]):
        raise ValueError(f"{name}: {pattern!r} matches none of {', '.join(_WORDS[name])}")


def _check_form(name: str, pattern: str) -> None:
    form, what = _FORMS[name]
    whole = _WHOLE.get(name, form)
    if not form.fullmatch(pattern) or not (_WILD.search(pattern) or whole.fullmatch(pattern)):
        raise ValueError(f"{name}: {pattern!r} is neither {what} nor a pattern of one with * or ?")
