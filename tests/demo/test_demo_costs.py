"""Every cost of the demo, worked out again from the raw files, in Decimal, by separate code.

Nothing of ``etl`` is used but the bundled files and what was loaded: events are read with json,
prices from the seed, and the rules (ids, scopes, tokens, dates) are written down a second time.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl import resources
from etl.calibrate.run import calibrate_all
from etl.demo import write_demo_logs
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse
from scripts.build_demo_logs import ASSISTANTS, all_calls
from tests.checks import failed_checks

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TRILLION = 10**12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_demo_logs(folder, NOW)
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_warehouse(tmp_path_factory.mktemp("db") / "w.db", create=True) as db:
        assert load_files(db, [folder]).rejected == 0
        calibrate_all(db)
        yield db


def raw_events(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("*")):
        if path.name.endswith(".json.gz"):
            yield from json.loads(gzip.decompress(path.read_bytes()))["Records"]
        elif path.suffix == ".jsonl":
            for line in path.read_text().splitlines():
                document = json.loads(line)
                yield from document.get("Records", [document])
        elif path.suffix == ".json":
            for item in json.loads(path.read_text())["Events"]:
                yield json.loads(item["CloudTrailEvent"])


OPERATIONS = {
    "InvokeModel",
    "InvokeModelWithResponseStream",
    "Converse",
    "ConverseStream",
    "CreateInference",
}


def calls_and_tokens(folder: Path) -> dict[str, tuple[dict[str, Any], int | None, int | None]]:
    """Return event id -> event, input, output, each call once."""
    calls: dict[str, dict[str, Any]] = {}
    late: dict[str, dict[str, Any]] = {}
    for event in raw_events(folder):
        if event.get("eventName") not in OPERATIONS or event.get("eventType") == "AwsVpceEvents":
            continue
        if event["eventType"] == "AwsServiceEvent":
            details = event["serviceEventDetails"]
            entries = details["AdditionalEventData"]["additionalEntries"]
            if isinstance(entries, list):
                entries = {entry["key"]: entry["value"] for entry in entries}
            late[details["parentRequestId"]] = entries
        elif event.get("recipientAccountId") in (
            None,
            event["userIdentity"].get("accountId", event.get("recipientAccountId")),
        ):
            calls[event["eventID"]] = event
    return {
        key: (event, *_tokens(event, late.get(event.get("requestID"), {})))
        for key, event in calls.items()
    }


def _tokens(event: dict[str, Any], late: dict[str, Any]) -> tuple[int | None, int | None]:
    extra = event.get("additionalEventData") or {}
    response = event.get("responseElements") or {}
    usage = response.get("usage") or {}
    found = []
    for new, old in (("inputTokens", "inputTokenCount"), ("outputTokens", "outputTokenCount")):
        values = [extra.get(new), late.get(new), usage.get(new), response.get(old)]
        found.append(next((int(value) for value in values if value is not None), None))
    return found[0], found[1]


def load_prices() -> dict[tuple[str, ...], list[dict[str, str]]]:
    prices = defaultdict(list)
    with (resources.SQL / "seeds/list_prices.csv").open() as file:
        for row in csv.DictReader(file):
            if row["service_tier"] == "standard":
                prices[row["model_id"], row["scope"], row["token_kind"]].append(row)
    return prices


PRICES = load_prices()


def rate(model: str, region: str, day: str, kind: str, size: int) -> Decimal | None:
    """Return USD per token."""
    tail = model.split("/")[-1]
    scope = "global" if tail.startswith("global.") else "regional"
    for prefix in ("us.", "global."):
        tail = tail.removeprefix(prefix)
    fitting = [
        row
        for row in PRICES[tail, scope, kind]
        if row["region"] in (region, "*")
        and row["effective_from"] <= day < (row["effective_to"] or "9999")
        and (row["min_input_tokens"] == "0" or int(row["min_input_tokens"]) < size)
    ]
    fitting.sort(key=lambda row: (row["region"] == "*", -int(row["min_input_tokens"])))
    return Decimal(fitting[0]["usd_per_mtok"]) / TRILLION if fitting else None


def cost_of(event: dict[str, Any], tokens_in: int | None, tokens_out: int | None) -> Decimal | None:
    if tokens_in is None and tokens_out is None:
        return None
    parameters = event["requestParameters"]
    model = parameters.get("modelId") or parameters["model"]
    total = Decimal(0)
    for kind, tokens in (("input", tokens_in), ("output", tokens_out)):
        price = rate(model, event["awsRegion"], event["eventTime"][:10], kind, tokens_in or 0)
        if tokens:
            if price is None:
                return None
            total += tokens * price
    return total


def test_every_call_costs_what_an_independent_computation_says(folder: Path, shown: Any) -> None:
    expected = {
        key: (tokens_in, tokens_out, cost_of(event, tokens_in, tokens_out))
        for key, (event, tokens_in, tokens_out) in calls_and_tokens(folder).items()
    }
    found = {
        row[0]: (row[1], row[2], None if row[3] is None else Decimal(row[3]) / TRILLION)
        for row in shown.execute(
            "select event_id, input_tokens, output_tokens, cost_picodollars from calls"
        )
    }
    assert len(found) > 1_800
    assert sum(cost is not None for *_, cost in found.values()) > 1_000
    assert sum(cost is None and tokens is not None for tokens, _, cost in found.values()) > 0
    assert found == expected


def test_measured_totals_are_exact_to_the_picodollar(folder: Path, shown: Any) -> None:
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for event, tokens_in, tokens_out in calls_and_tokens(folder).values():
        expected[event["awsRegion"]] += cost_of(event, tokens_in, tokens_out) or 0
    found = {
        region: Decimal(picodollars) / TRILLION
        for region, picodollars in shown.execute(
            "select region, sum(cost_picodollars) from usage_cost where data_source like 'Actual%' group by region"
        )
    }
    assert found == expected


def test_all_checks_pass_on_the_demo(shown: Any) -> None:
    assert failed_checks(shown) == {}


def test_calibration_finds_whose_cached_tokens_they_were(shown: Any) -> None:
    """No event tells cached tokens; shared by calls, all would be about equal."""
    users = {traffic.caller.session for traffic in ASSISTANTS}
    truth: Counter[str] = Counter()
    for call in all_calls():
        truth[call.traffic.caller.session] += call.cache_read_tokens
    found = dict(
        shown.execute(
            "select user_name, sum(cache_read_tokens) from usage_cost"
            " where model_id like '%haiku-4-5%' group by user_name"
        ).fetchall()
    )
    assert set(found) == users
    assert found == {user: pytest.approx(truth[user], rel=0.05) for user in users}
    assert sum(found.values()) == sum(truth[user] for user in users)
    methods = {m for (m,) in shown.execute("select distinct allocation_method from usage_cost")}
    assert methods == {None, "single caller", "calibrated", "calls"}


def test_the_demo_shows_every_kind_of_figure(shown: Any) -> None:
    sources = {source for (source,) in shown.execute("select distinct data_source from usage_cost")}
    assert sources == {"Actual Tokens from CloudTrail", "CloudWatch (Estimated)", "No token data"}
    applications = {name for (name,) in shown.execute("select application from application_costs")}
    assert applications >= {
        "CustomerServiceApp", "DataAnalysisApp", "ChatbotApp", "DocumentProcessorApp",
        "MobileApp", "WebPortal", "BackendAPI", "Unknown", "(unattributed)",
    }  # fmt: skip
    assert shown.execute("select count(*) from unpriced_usage").fetchone()[0] >= 1
    assert shown.execute("select count(*) from rejects").fetchone() == (0,)
