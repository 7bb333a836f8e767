"""Calls with any counts, and prices, for the tests of savings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlite_utils import Database

from etl.normalise.rows import Event, Tokens
from etl.warehouse.prices import renew_prices
from etl.warehouse.write.batch import Batch, Loader
from tests.support import ACCOUNT, uuid_of

DAY = "2026-11-02"


class Used(NamedTuple):
    """One call, and what it used; ``tokens``: fields of ``Tokens``."""

    tokens: Mapping[str, int]
    model: str = "acme.big-v1:0"
    day: str = DAY
    application: str = "Search"
    region: str = "us-east-1"
    tier: str | None = None
    account: str = ACCOUNT
    user: str = "alice"


def store(db: Database, calls: Iterable[Used]) -> None:
    """Load calls, as an invocation log reports them."""
    Loader(db).write(Batch(events=[_event(number, one) for number, one in enumerate(calls, 1)]))


def _event(number: int, used: Used) -> Event:
    return Event(
        event_time=f"{used.day}T10:00:00Z",
        event_id=uuid_of(number),
        request_id=uuid_of(1_000_000 + number),
        shared_event_id=None,
        account_id=used.account,
        region=used.region,
        event_source="bedrock.amazonaws.com",
        event_name="Converse",
        model_id=used.model,
        principal_arn=f"arn:aws:iam::{used.account}:user/{used.user}",
        principal_type="IAMUser",
        session_name=None,
        user_agent=None,
        user_name=used.user,
        application=used.application,
        application_source="role name",
        error_code=None,
        inference_region=None,
        service_tier=used.tier,
        is_home_copy=True,
        is_correction=False,
        tokens=Tokens("invocation log", **used.tokens),
    )


def price(db: Database, model: str, rates: Mapping[str, int], **fields: Any) -> None:
    """Add list prices of a model, pico-dollars per token by kind, and apply them."""
    add_prices(db, model, rates, **fields)
    renew_prices(db)


def add_prices(db: Database, model: str, rates: Mapping[str, int], **fields: Any) -> None:
    """Add list prices, which apply to what is loaded later."""
    for kind, rate in rates.items():
        row = {
            "model_id": model, "region": "*", "scope": "regional", "service_tier": "standard",
            "token_kind": kind, "min_input_tokens": 0, "usd_per_mtok": rate,
            "effective_from": "2026-01-01", "effective_to": None, "source": "test",
            "checked_on": "2026-11-01", "origin": "seed",
        } | fields  # fmt: skip
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        db.execute(f"insert into prices ({names}) values ({marks})", [*row.values()])
