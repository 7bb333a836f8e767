"""``prices sync``: from AWS's public files, through the API, from a folder; and weekly in ``sync``."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etl.cli.shared import price_syncing
from etl.errors import ConfigError
from etl.sources import download, price_list
from tests.aws import ACCOUNT, FakeAws, Fault
from tests.aws.calls import Answer
from tests.cases import cases
from tests.cli.policies import FREE, allowed, policy, requested
from tests.cli.running import run
from tests.prices.offer_files import BEDROCK, FOUNDATION, SERVICE, Product, offer, sold_as
from tests.support import call, write_log

IN = "USE1-NovaPro-input-tokens"
IRELAND = Product("EU-NovaPro-input-tokens", "0.00092", region="eu-west-1")
SONNET = sold_as("Claude Sonnet 4.5")
S45_IN = Product("USE1-MP:USE1_InputTokenCount-Units", "3.3", "1M tokens", SONNET)
RESERVED = Product("USE1-reserved-1-month-input-tokens-per-minute", "1", "1M TPM hour")
API = "[prices]\napi = true\n"


@pytest.fixture
def lists(aws: FakeAws) -> Any:
    """Two versions of the list: the price of Nova Pro rises on 20 November."""
    for day, usd in (("2026-11-10", "0.0008"), ("2026-11-20", "0.0010")):
        aws.price_lists.publish(offer(BEDROCK, [Product(IN, usd), IRELAND], day))
        aws.price_lists.publish(offer(FOUNDATION, [S45_IN], day))
        aws.price_lists.publish(offer(SERVICE, [RESERVED], day))
    return aws.price_lists


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "pause", lambda attempt: 0.0)


def query(sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect("bedrock_usage.db")) as connection, connection:
        return connection.execute(sql).fetchall()


def synced() -> list[tuple[Any, ...]]:
    return query(
        "select region, model_id, usd_per_mtok, effective_from from prices where origin = 'price_list'"
        " order by region, model_id, effective_from",
    )


NOVA = "amazon.nova-pro-v1:0"
CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
EAST = [
    ("us-east-1", NOVA, 1_000_000, "2026-11-20"),
    ("us-east-1", CLAUDE, 3_300_000, "2026-11-20"),
]


def test_the_public_files_of_every_service_are_read_without_credentials(
    aws: FakeAws, lists: Any
) -> None:
    status, out, err = run("prices", "sync", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == EAST
    assert "changed  amazon.nova-pro-v1:0" in out
    assert "reserved capacity is paid by the hour" in out
    assert aws.requests == []
    # The lists of regions, and one file for each service.
    assert [path.rpartition("/")[2] for path in lists.downloads].count("index.json") == 3
    assert len(lists.downloads) == 6
    assert "AmazonBedrockService 20261120120000" in err


def test_the_api_lists_the_same_files(aws: FakeAws, lists: Any) -> None:
    lists.page = 1
    status, _, err = run("prices", "sync", "--api", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == EAST
    assert requested(aws, ACCOUNT) == {
        "pricing:ListPriceLists",
        "pricing:GetPriceListFileUrl",
        FREE,
    }
    assert {one.region for one in aws.requests if one.service == "pricing"} == {"us-east-1"}


def test_who_may_not_list_files_gets_the_products(aws: FakeAws, lists: Any) -> None:
    aws.faults.append(Fault("denied", "ListPriceLists", times=None))
    lists.page = 1
    status, _, err = run("prices", "sync", "--api", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == EAST
    # Products are only today's.
    status, _, err = run(
        "prices", "sync", "--api", "--as-of", "2026-11-15", "--region", "us-east-1"
    )
    assert status == 1
    assert "pricing:ListPriceLists" in err


@pytest.mark.parametrize("way", [[], ["--api"]])
def test_a_day_of_the_past_has_the_prices_of_then(lists: Any, way: list[str]) -> None:
    assert run("prices", "sync", "--region", "us-east-1")[0] == 0
    status, _, err = run("prices", "sync", *way, "--as-of", "2026-11-15", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == [
        ("us-east-1", NOVA, 800_000, "2026-11-10"),
        ("us-east-1", NOVA, 1_000_000, "2026-11-20"),
        ("us-east-1", CLAUDE, 3_300_000, "2026-11-10"),
    ]
    status, _, err = run("prices", "sync", *way, "--as-of", "2025-01-01", "--region", "us-east-1")
    assert status == 1
    assert "there is no price list for these regions and this day" in err


def test_a_folder_and_a_file_are_read_without_aws(aws: FakeAws, lists: Any, tmp_path: Path) -> None:
    copy = tmp_path / "offers" / "AmazonBedrock"
    (copy / "current").mkdir(parents=True)
    (copy / "index.json").write_text('{"versions": {}}')
    (copy / "current" / "region_index.json").write_text('{"regions": {}}')
    for (code, version, region), file in lists.files.items():
        content = gzip.compress(json.dumps(file).encode())
        (copy / f"{code}-{version}-{region}.json.gz").write_bytes(content)
    status, _, err = run("prices", "sync", "--from", tmp_path / "offers", "--region", "us-east-1")
    assert status == 0, err
    assert [row for row in synced() if row[3] == "2026-11-20"] == EAST[:1]
    before = synced()
    one = copy / "AmazonBedrock-20261110120000-eu-west-1.json.gz"
    assert run("prices", "sync", "--from", one, "--region", "all")[0] == 0
    assert synced() == [("eu-west-1", NOVA, 920_000, "2026-11-10"), *before]
    assert (aws.requests, lists.downloads) == ([], [])


NO_FILES = [
    ("one.json", b"{}", "not an offer file"),
    ("one.json.gz", gzip.compress(b"{}" * 5000)[:-9], "incomplete"),
    ("one.json.gz", b"\x1f\x8bnothing", "damaged"),
    ("one.csv", b"SKU,OfferTermCode", "not an offer file"),
]


@cases(("name", "content", "problem"), NO_FILES)
def test_a_file_that_is_none_is_said(
    aws: FakeAws, tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    status, _, err = run("prices", "sync", "--from", tmp_path / name)
    assert (status, problem in err) == (1, True), err
    assert "Traceback" not in err


def test_an_empty_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    status, _, err = run("prices", "sync", "--from", tmp_path / "none")
    assert (status, "no offer file" in err) == (1, True)


def test_by_default_the_regions_of_the_calls_or_of_the_configuration_are_read(
    aws: FakeAws, lists: Any, tmp_path: Path
) -> None:
    write_log(tmp_path / "log.json", [call(1, awsRegion="eu-west-1")])
    assert run("load", tmp_path / "log.json")[0] == 0
    assert run("prices", "sync")[0] == 0
    assert {row[0] for row in synced()} == {"eu-west-1"}
    (tmp_path / "own.toml").write_text('[sync]\nregions = ["us-east-1"]\n')
    assert run("prices", "sync", "--config", tmp_path / "own.toml")[0] == 0
    assert {row[0] for row in synced()} == {"eu-west-1", "us-east-1"}


def test_files_of_ones_own_are_read_for_all_their_regions(
    aws: FakeAws, lists: Any, tmp_path: Path
) -> None:
    write_log(tmp_path / "log.json", [call(1, awsRegion="us-east-1")])
    assert run("load", tmp_path / "log.json")[0] == 0
    file = lists.files[BEDROCK, "20261110120000", "eu-west-1"]
    (tmp_path / "offer.json").write_text(json.dumps(file))
    status, out, err = run("prices", "sync", "--from", tmp_path / "offer.json")
    assert (status, {row[0] for row in synced()}) == (0, {"eu-west-1"}), out + err


def test_an_address_where_nobody_answers_is_said(
    aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:9")
    status, _, err = run("prices", "sync")
    assert (status, "check the network" in err, "unexpected" in err) == (1, True, False), err


def test_without_calls_all_regions_are_read(lists: Any) -> None:
    assert run("prices", "sync")[0] == 0
    assert {row[0] for row in synced()} == {"eu-west-1", "us-east-1"}


@cases(
    ("words", "message"),
    [
        (["--region", "us-esat-1"], "is not an AWS region"),
        (["--region", "all", "--region", "us-east-1"], "cannot be combined"),
        (["--from", ".", "--api"], "cannot be combined"),
        (["--profile", "own"], "--profile needs --api"),
        (["--from", ".", "--as-of", "2026-11-20"], "cannot be combined"),
        (["--as-of", "tomorrow"], "is not a date like 2026-09-01"),
    ],
)
def test_wrong_usage_is_status_2(aws: FakeAws, words: list[str], message: str) -> None:
    status, _, err = run("prices", "sync", *words)
    assert (status, message in err) == (2, True), err
    assert not Path("bedrock_usage.db").exists()


PASSING = [
    Answer(200, b'{"regions": ', {}, "reset-in-body"),
    Answer(503, b"busy"),
    Answer(429, b"slow down"),
    Answer(200, b"", {}, "reset"),
]


def begin_with(lists: Any, faults: list[Answer]) -> None:
    """Start with no warehouse and with these answers first."""
    Path("bedrock_usage.db").unlink(missing_ok=True)
    lists.faults[:] = faults


@cases("fault", PASSING)
def test_a_passing_fault_is_tried_again(lists: Any, fault: Answer) -> None:
    begin_with(lists, [fault, fault])
    status, _, err = run("prices", "sync", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == EAST


LASTING = [
    (Answer(403, b"<secret>"), "HTTP 403"),
    (Answer(200, b"<html>a login page</html>"), "regions is missing"),
    (Answer(301, b"", {"Location": "http://127.0.0.1:1/"}), "HTTP 301"),
    (Answer(200, b"{}"), "regions is missing"),
]


@cases(("fault", "message"), LASTING)
def test_one_service_that_cannot_be_read_does_not_stop_the_others(
    lists: Any, fault: Answer, message: str
) -> None:
    begin_with(lists, [fault])
    status, _, err = run("prices", "sync", "--region", "us-east-1")
    assert (status, message in err) == (1, True), err
    assert "secret" not in err
    assert synced() == EAST[1:]


def test_a_file_without_an_end_is_not_read_to_it(
    lists: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(price_list, "_MAX_BYTES", 300)
    status, _, err = run("prices", "sync", "--region", "us-east-1")
    assert (status, "too large for a price list" in err) == (1, True), err


def test_an_answer_of_the_api_without_its_list_is_no_empty_list(aws: FakeAws, lists: Any) -> None:
    aws.faults.append(Fault("truncated", "ListPriceLists"))
    status, _, err = run("prices", "sync", "--api", "--region", "us-east-1")
    assert status == 0, err
    assert synced() == EAST


def test_an_address_that_leaves_the_price_list_is_not_followed(lists: Any) -> None:
    index = {"regions": {"us-east-1": {"currentVersionUrl": "@evil.example/x.json"}}}
    lists.faults += [Answer(200, json.dumps(index).encode())]
    status, _, err = run("prices", "sync", "--region", "us-east-1")
    assert (status, "AmazonBedrock us-east-1: " in err, "unexpected address" in err) == (
        1,
        True,
        True,
    )
    assert synced() == EAST[1:]


def test_a_region_without_a_list_is_named(lists: Any) -> None:
    status, _, err = run("prices", "sync", "--region", "us-east-1", "--region", "eu-north-1")
    assert (status, "No price list     eu-north-1" in err) == (0, True), err


def test_an_odd_file_does_not_stop_the_others(lists: Any, tmp_path: Path) -> None:
    good = lists.files[BEDROCK, "20261110120000", "eu-west-1"]
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "old.json").write_text(json.dumps(good | {"publicationDate": "0001-01-01T00:00:00+10:00"}))  # fmt: skip
    deep = json.dumps(good | {"deep": 0}).replace('"deep": 0', f'"deep": {"[" * 5000}{"]" * 5000}')
    (tmp_path / "deep.json").write_text(deep)
    (tmp_path / "shown.json").write_text(json.dumps(good | {"version": "\x1b[31m"}))
    status, _, err = run("prices", "sync", "--from", tmp_path)
    assert (status, "old.json: " in err, "deep.json: " in err) == (1, True, True), err
    assert "\x1b" not in err
    assert [row[:2] for row in synced()] == [("eu-west-1", NOVA)]


def test_what_is_held_back_is_said_and_accepted_on_request(aws: FakeAws, lists: Any) -> None:
    lists.publish(offer(BEDROCK, [Product(IN, "0.0030"), IRELAND], "2026-11-25"))
    status, out, err = run("prices", "sync", "--region", "us-east-1")
    assert status == 1
    assert "Held back: --accept makes these changes" in out
    assert "Held back         1 change" in err
    assert synced() == EAST[1:]
    status, _, err = run("prices", "sync", "--region", "us-east-1", "--accept")
    assert status == 0, err
    assert synced()[0] == ("us-east-1", NOVA, 3_000_000, "2026-11-25")


def test_a_dry_run_shows_the_difference_and_writes_nothing(aws: FakeAws, lists: Any) -> None:
    assert run("prices", "sync", "--region", "us-east-1", "--as-of", "2026-11-15")[0] == 0
    before, content = synced(), Path("bedrock_usage.db").read_bytes()
    status, out, err = run("prices", "sync", "--region", "us-east-1", "--dry-run")
    assert (status, synced()) == (0, before)
    assert Path("bedrock_usage.db").read_bytes() == content
    (line,) = [line for line in out.splitlines() if line.strip().startswith("changed")]
    assert line.split()[-3:] == ["0.80", "1.00", "2026-11-20"]
    assert "nothing (--dry-run)" in err


def test_what_is_not_used_is_listed_once_for_all_regions_and_in_full_on_request(
    aws: FakeAws, tmp_path: Path
) -> None:
    odd = [Product("USE1-Nova9-input-tokens", "1"), Product("EU-Nova9-input-tokens", "1", region="eu-west-1")]  # fmt: skip
    odd += [Product(f"USE1-Nova{n}x-input-tokens", "1") for n in range(30)]
    (tmp_path / "one.json").write_text(json.dumps(offer(BEDROCK, odd)))
    status, out, _ = run("prices", "sync", "--from", tmp_path / "one.json")
    assert status == 0
    assert out.count("no model is known by this name") == 20
    assert "more kinds: add --details" in out
    _, out, _ = run("prices", "sync", "--from", tmp_path / "one.json", "--details")
    assert out.count("no model is known by this name") == 32
    assert "EU-Nova9-input-tokens" in out


@pytest.mark.parametrize(
    "product", [Product(IN, "1", "2K tokens"), Product(f"{IN}-turbo", "1"), Product(f"{IN}-long-context", "1")]
)  # fmt: skip
def test_a_price_of_a_model_in_use_that_is_not_clear_is_status_1(
    aws: FakeAws, tmp_path: Path, product: Product
) -> None:
    (tmp_path / "one.json").write_text(json.dumps(offer(BEDROCK, [product])))
    assert run("prices", "sync", "--from", tmp_path / "one.json")[0] == 0
    write_log(tmp_path / "log.json", [call(1, requestParameters={"modelId": f"us.{NOVA}"})])
    assert run("load", tmp_path / "log.json")[0] == 0
    assert run("prices", "sync", "--from", tmp_path / "one.json")[0] == 1


SYNC = ("sync", "--region", "us-east-1", "--since", "1d")


@pytest.fixture
def weekly(aws: FakeAws, tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "bedrock_usage.toml"
    file.write_text('[sync]\nregions = ["us-east-1"]\n[prices]\nsync = "weekly"\n')
    yield file


def forget_reading(minutes: int) -> None:
    query(
        f"update price_list_reads set read_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-{minutes} minutes')",
    )


def test_sync_reads_it_once_a_week_if_that_is_switched_on(
    aws: FakeAws, lists: Any, weekly: Path
) -> None:
    status, _, err = run(*SYNC)
    assert (status, "Prices            1 change" in err) == (0, True), err
    assert synced() == EAST
    lists.downloads.clear()
    week = 7 * 24 * 60
    for minutes, downloads in ((0, 0), (week - 2, 0), (week + 1, 6)):
        forget_reading(minutes)
        assert run(*SYNC)[0] == 0
        assert len(lists.downloads) == downloads
        lists.downloads.clear()


def test_it_is_off_by_default(aws: FakeAws, lists: Any) -> None:
    assert run(*SYNC)[0] == 0
    assert (lists.downloads, synced()) == ([], [])


def test_a_sync_without_the_right_to_ask_says_so(
    aws: FakeAws, weekly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weekly.write_text(weekly.read_text() + "api = true\n")
    assert run(*SYNC)[0] == 0
    monkeypatch.setattr(price_syncing, "open_own_account", refuse)
    forget_reading(8 * 24 * 60)
    status, _, err = run(*SYNC)
    assert (status, "Prices not read   no credentials" in err) == (0, True), err
    assert "bedrock-usage prices sync --dry-run" in err


def refuse(*_: object) -> None:
    raise ConfigError("no credentials")


def test_a_failure_is_a_warning_and_is_tried_again_a_day_later(
    aws: FakeAws, lists: Any, weekly: Path
) -> None:
    lists.faults += [Answer(403)] * 3
    status, _, err = run(*SYNC)
    assert status == 0
    assert "Not read          AmazonBedrock: " in err
    assert "bedrock-usage prices sync --dry-run" in err
    day = 24 * 60
    for minutes, downloads in ((day - 2, 0), (day + 1, 6)):
        lists.downloads.clear()
        forget_reading(minutes)
        assert run(*SYNC)[0] == 0
        assert len(lists.downloads) == downloads


def test_the_policy_allows_the_api_only_where_it_is_chosen(aws: FakeAws, tmp_path: Path) -> None:
    (tmp_path / "api.toml").write_text(API)
    prices = {"pricing:GetPriceListFileUrl", "pricing:GetProducts", "pricing:ListPriceLists"}
    assert not prices & set(allowed(policy()))
    assert prices <= set(allowed(policy("--config", str(tmp_path / "api.toml"))))


def test_doctor_tries_the_api_where_it_is_chosen(aws: FakeAws, lists: Any, tmp_path: Path) -> None:
    words = ("doctor", "--region", "us-east-1", "--format", "json")
    assert "pricing:" not in run(*words)[1]
    (tmp_path / "bedrock_usage.toml").write_text(API)
    checks = {one["check"]: one["status"] for one in json.loads(run(*words)[1])["findings"]}
    prices = {check: status for check, status in checks.items() if check.startswith("pricing:")}
    assert prices == {
        "pricing:ListPriceLists": "ok",
        "pricing:GetPriceListFileUrl": "ok",
        "pricing:GetProducts": "ok",
    }
    aws.faults.append(Fault("denied", "GetProducts"))
    findings = json.loads(run(*words)[1])["findings"]
    (denied,) = [one for one in findings if one["check"] == "pricing:GetProducts"]
    assert denied["status"] == "failed"
    assert "pricing:GetProducts" in denied["fix"]
