"""CloudWatch's totals are shared out among the calls without known tokens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.cloudtrail import BEDROCK
from etl.normalise.rows import MetricValue
from etl.sql_files import sql_text
from etl.warehouse.write.batch import Batch, Loader
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import ACCOUNT, HAIKU, HOUR, SONNET, call, load, rows, write_log, write_metrics

ESTIMATED, ACTUAL = "CloudWatch (Estimated)", "Actual Tokens from CloudTrail"
Given = Callable[..., None]


@pytest.fixture
def given_(db: Database, tmp_path: Path) -> Given:
    def given_rows(calls: list[dict[str, Any]], metrics: list[tuple[Any, ...]] = ()) -> None:  # type: ignore[assignment]
        load(
            db, write_log(tmp_path / "log.json", calls), write_metrics(tmp_path / "m.csv", metrics)
        )

    return given_rows


def usage(db: Database, columns: str = "input_tokens, output_tokens") -> list[tuple[Any, ...]]:
    return rows(
        db, f"select user_name, data_source, calls, {columns} from usage_cost order by 1, 2"
    )


def calls_of(user: str, count: int, first: int, **fields: Any) -> list[dict[str, Any]]:
    return [call(first + n, user=user, **fields) for n in range(count)]


def test_eight_and_two_calls_share_in_proportion(db: Database, given_: Given) -> None:
    given_(
        calls_of("A", 8, 0) + calls_of("B", 2, 100),
        [(HAIKU, "InputTokenCount", 10_000), (HAIKU, "OutputTokenCount", 2_000)],
    )
    assert usage(db) == [("A", ESTIMATED, 8, 8_000, 1_600), ("B", ESTIMATED, 2, 2_000, 400)]
    # Haiku: 0.25 and 1.25 USD per million: 8,000 x 0.25 + 1,600 x 1.25 = 4,000 micro-dollars.
    assert rows(
        db, "select user_name, cost_usd, estimated_cost_usd, actual_cost_usd from user_costs"
    ) == [
        ("A", 0.004, 0.004, None),
        ("B", 0.001, 0.001, None),
    ]


def test_known_tokens_are_taken_off_and_never_switch_the_estimate_off(
    db: Database, given_: Given
) -> None:
    given_(
        [call(1, user="A", tokens=(4_000, 500)), *calls_of("A", 1, 10), *calls_of("B", 2, 20)],
        [(HAIKU, "InputTokenCount", 10_000), (HAIKU, "OutputTokenCount", 2_000)],
    )
    assert usage(db) == [
        ("A", ACTUAL, 1, 4_000, 500),
        ("A", ESTIMATED, 1, 2_000, 500),
        ("B", ESTIMATED, 2, 4_000, 1_000),
    ]
    assert rows(db, "select user_name, calls, data_source from user_costs") == [
        ("A", 2, "Mixed"),
        ("B", 2, ESTIMATED),
    ]


def test_cloudwatch_below_the_known_sum_leaves_nothing_to_share(
    db: Database, given_: Given
) -> None:
    given_(
        [call(1, user="A", tokens=(4_000, 500)), call(2, user="B")],
        [(HAIKU, "InputTokenCount", 1_000), (HAIKU, "OutputTokenCount", 600)],
    )
    assert usage(db) == [("A", ACTUAL, 1, 4_000, 500), ("B", ESTIMATED, 1, 0, 100)]
    assert rows(db, "select cloudwatch_tokens, difference_tokens from reconciliation") == [
        (1_600, 3_000)
    ]


def test_tokens_that_no_call_accounts_for_are_unattributed(db: Database, given_: Given) -> None:
    given_([], [(HAIKU, "InputTokenCount", 10_000), (SONNET, "OutputTokenCount", 100)])
    assert rows(db, "select user_name, application, model_id, calls, input_tokens, output_tokens, cost_usd,"
                    " data_source from usage_cost order by model_id") == [
        ("(unattributed)", "(unattributed)", HAIKU, 0, 10_000, None, 0.0025, ESTIMATED),
        ("(unattributed)", "(unattributed)", SONNET[3:], 0, None, 100, 0.00165, ESTIMATED),
    ]  # fmt: skip
    assert rows(
        db, "select hour, input_tokens from unattributed_usage where input_tokens is not null"
    ) == [(HOUR, 10_000)]


def test_tokens_beyond_those_that_all_calls_report_are_unattributed(
    db: Database, given_: Given
) -> None:
    given_([call(1, user="A", tokens=(4_000, 500))], [(HAIKU, "InputTokenCount", 4_100)])
    assert usage(db) == [
        ("(unattributed)", ESTIMATED, 0, 100, None),
        ("A", ACTUAL, 1, 4_000, 500),
    ]


def test_calls_without_metrics_have_no_token_data(db: Database, given_: Given) -> None:
    given_(calls_of("A", 2, 0))
    assert usage(db, "input_tokens, cost_usd, calls_without_tokens, unpriced_calls") == [
        ("A", "No token data", 2, None, None, 2, 0)
    ]


def test_metrics_of_another_hour_are_not_shared(db: Database, given_: Given) -> None:
    given_([call(1, user="A")], [(HAIKU, "InputTokenCount", 10, "2026-11-02T11:00:00Z", 3600)])
    assert ("A", "No token data", 1, None, None) in usage(db)


def test_failed_calls_take_no_part(db: Database, given_: Given) -> None:
    given_(
        [call(1, user="A"), *calls_of("B", 3, 10, errorCode="ThrottlingException")],
        [(HAIKU, "InputTokenCount", 10_000)],
    )
    assert usage(db, "failed_calls, input_tokens") == [
        ("A", ESTIMATED, 1, 0, 10_000),
        ("B", "No token data", 0, 3, None),
    ]
    assert rows(
        db, "select calls, failed_calls, cost_usd from user_costs where user_name = 'B'"
    ) == [(0, 3, None)]


def test_a_user_whose_other_calls_failed_is_not_mixed(db: Database, given_: Given) -> None:
    given_([call(1, user="A", tokens=(1, 1)), call(2, user="A", errorCode="AccessDenied")])
    assert rows(db, "select data_source from user_costs") == [(ACTUAL,)]


def test_each_kind_is_estimated_separately(db: Database, given_: Given) -> None:
    """Calls that report input and output lack cache reads, which are estimated separately."""
    given_(
        [call(1, user="A", tokens=(4_000, 500)), call(2, user="B")],
        [
            (SONNET, "CacheReadInputTokenCount", 1_000),
            (HAIKU, "InputTokenCount", 5_000),
            (HAIKU, "OutputTokenCount", 700),
            (HAIKU, "CacheReadInputTokenCount", 1_000),
            (HAIKU, "CacheWriteInputTokenCount", 0),
        ],
    )
    assert usage(db, "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens")[1:] == [
        ("A", ACTUAL, 1, 4_000, 500, None, None),
        ("A", ESTIMATED, 0, None, None, 500, 0),
        ("B", ESTIMATED, 1, 1_000, 200, 500, 0),
    ]


def test_a_share_never_crosses_profiles(db: Database, given_: Given) -> None:
    plain = SONNET[3:]
    given_(
        [
            call(1, user="A", requestParameters={"modelId": SONNET}),
            call(2, user="B", requestParameters={"modelId": plain}),
        ],
        [(SONNET, "InputTokenCount", 900), (plain, "InputTokenCount", 100)],
    )
    assert usage(db, "input_tokens") == [("A", ESTIMATED, 1, 900), ("B", ESTIMATED, 1, 100)]


def test_a_known_profile_without_a_total_in_an_hour_takes_none_of_another(
    db: Database, given_: Given
) -> None:
    given_(
        [call(1, user="A", requestParameters={"modelId": SONNET})],
        [
            (SONNET, "InputTokenCount", 5, "2026-11-02T09:00:00Z", 3600),
            (SONNET[3:], "InputTokenCount", 100),
        ],
    )
    assert ("A", "No token data", 1, None) in usage(db, "input_tokens")


def test_where_cloudwatch_knows_only_the_canonical_id_that_is_used(
    db: Database, given_: Given
) -> None:
    given_(
        [call(1, user="A", requestParameters={"modelId": SONNET})],
        [(SONNET[3:], "InputTokenCount", 100)],
    )
    assert usage(db, "input_tokens") == [("A", ESTIMATED, 1, 100)]


@pytest.mark.parametrize(
    "sent",
    [
        f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/{SONNET}",
        f"{SONNET}:200k",
        SONNET,
    ],
)
def test_every_spelling_of_a_model_matches_its_metrics(
    db: Database, given_: Given, sent: str
) -> None:
    given_(
        [call(1, user="A", requestParameters={"modelId": sent})], [(SONNET, "InputTokenCount", 100)]
    )
    assert usage(db, "input_tokens") == [("A", ESTIMATED, 1, 100)]


def test_the_two_endpoints_have_separate_totals(db: Database, given_: Given) -> None:
    model = "anthropic.claude-opus-4-7"
    mantle = {"eventSource": "bedrock-mantle.amazonaws.com", "eventName": "CreateInference"}
    given_(
        [
            call(1, user="A", requestParameters={"modelId": model}),
            call(2, user="B", requestParameters={"model": model}, **mantle),
        ],
        [(model, "InputTokenCount", 100), (model, "TotalInputTokens", 7)],
    )
    assert usage(db, "input_tokens") == [("A", ESTIMATED, 1, 100), ("B", ESTIMATED, 1, 7)]


def test_totals_are_counted_once_over_periods_names_and_spellings(
    db: Database, given_: Given
) -> None:
    minutes = [
        (HAIKU, "CacheReadInputTokenCount", 100, f"2026-11-02T10:{m:02}:00Z", 300)
        for m in range(0, 60, 5)
    ]
    given_(
        [],
        [
            *minutes,
            (HAIKU, "CacheReadInputTokenCount", 1_200),  # the same hour as one period
            (HAIKU, "CacheReadInputTokens", 1_200),  # the same metric under its other name
            (
                f"arn:aws:bedrock:us-east-1::foundation-model/{HAIKU}",
                "CacheReadInputTokenCount",
                1_200,
            ),
        ],
    )
    assert rows(db, sql_text("checks/metric_hours_are_current")) == []
    assert usage(db, "cache_read_tokens") == [("(unattributed)", ESTIMATED, 0, 1_200)]


def test_a_part_of_an_hour_never_hides_the_whole(db: Database, given_: Given) -> None:
    given_([], [(HAIKU, "InputTokenCount", 40, HOUR, 300), (HAIKU, "InputTokenCount", 100)])
    assert usage(db, "input_tokens") == [("(unattributed)", ESTIMATED, 0, 100)]


def test_a_revised_total_replaces_the_first(db: Database, given_: Given) -> None:
    given_([call(1, user="A")], [(HAIKU, "InputTokenCount", 40)])
    given_([], [(HAIKU, "InputTokenCount", 60)])
    assert usage(db, "input_tokens") == [("A", ESTIMATED, 1, 60)]


def test_whole_tokens_add_up_where_a_share_is_not_a_whole_number(
    db: Database, given_: Given
) -> None:
    given_(
        [call(n, user=f"user-{n}") for n in range(7)],
        [(HAIKU, "InputTokenCount", 100)],
    )
    shares = [row[3] for row in usage(db, "input_tokens")]
    assert sum(shares) == 100
    assert set(shares) == {14, 15}


def test_large_totals_do_not_overflow(db: Database) -> None:
    """The plain product of a residual and its calls would exceed 64 bits."""
    million = 10**6
    load_key = Loader(db)
    metric = MetricValue(ACCOUNT, "us-east-1", HAIKU, "InputTokenCount", HOUR, 3600, 10**12 - 1)
    load_key.write(Batch(metrics=[metric._replace(period_start=f"2026-11-02T10:{m:02}:00Z", period_seconds=60)
                                  for m in range(60)]))  # fmt: skip
    names = load_key._names
    keys = (names.account(ACCOUNT), 1, names.user("A"), names.application("x", "unknown"))
    assert names.model(HAIKU, BEDROCK)
    other = (keys[0], keys[1], names.user("B"), keys[3])
    for key, count in ((keys, 3 * million), (other, 4 * million)):
        db.execute(
            "insert into usage_hourly (hour, account_key, rate_key, user_key, application_key,"
            " token_source_key, calls, input_unknown_calls) values (?, ?, ?, ?, ?, 0, ?, ?)",
            [HOUR, *key, count, count],
        )
    total = 60 * (10**12 - 1)
    assert rows(
        db, "select estimated_tokens, typeof(estimated_tokens) from int_estimates order by user_key"
    ) == [
        (total * 3 // 7, "integer"),
        (total - total * 3 // 7, "integer"),
    ]


MODELS = (HAIKU, SONNET, SONNET[3:], f"{HAIKU}:200k")
CALL = st.tuples(
    st.sampled_from("ABC"),
    st.sampled_from(MODELS),
    st.sampled_from([9, 10]),
    st.sampled_from([None, (10, 1), (1_000, 300), "failed", "input only"]),
)
METRIC = st.tuples(
    st.sampled_from(MODELS[:3]),
    st.sampled_from(
        ["InputTokenCount", "OutputTokenCount", "CacheReadInputTokenCount", "CacheWriteInputTokens"]
    ),
    st.integers(0, 5_000),
    st.sampled_from([9, 10]),
)


@settings(max_examples=rounds(7, 500))
@given(st.lists(CALL, max_size=12), st.lists(METRIC, max_size=8))
def test_attributed_and_unattributed_add_up_to_cloudwatch(
    new_warehouse: Callable[[], AbstractContextManager[Database]],
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[Any, ...]],
    metrics: list[tuple[Any, ...]],
) -> None:
    folder = tmp_path_factory.mktemp("given")
    log = write_log(folder / "log.json", [_call(n, *values) for n, values in enumerate(calls)])
    csv = write_metrics(
        folder / "m.csv",
        [
            (model, metric, value, f"2026-11-02T{hour:02}:00:00Z", 3600)
            for model, metric, value, hour in metrics
        ],
    )
    with new_warehouse() as db:
        load(db, log, csv)
        assert failed_checks(db) == {}
        # Independently of the views: for each kind, the sum shown is CloudWatch's total, or what the
        # calls report where CloudWatch has no total or a lower one.
        for column, names in (
            ("input_tokens", ("InputTokenCount",)),
            ("output_tokens", ("OutputTokenCount",)),
            ("cache_read_tokens", ("CacheReadInputTokenCount",)),
            ("cache_write_tokens", ("CacheWriteInputTokens",)),
        ):
            (shown,) = rows(db, f"select coalesce(sum({column}), 0) from usage_cost")[0]
            assert shown == _expected(calls, metrics, column, names[0])


def _call(number: int, user: str, model: str, hour: int, tokens: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if tokens == "failed":
        fields["errorCode"] = "ThrottlingException"
    elif tokens == "input only":
        fields["additionalEventData"] = {"inputTokens": 50}
    elif tokens:
        fields["additionalEventData"] = {"inputTokens": tokens[0], "outputTokens": tokens[1]}
    return call(
        number, user=user, eventTime=f"2026-11-02T{hour:02}:30:00Z",
        requestParameters={"modelId": model}, **fields,
    )  # fmt: skip


def _expected(calls: list[Any], metrics: list[Any], column: str, metric: str) -> int:
    series_known = {model for model, *_ in metrics}
    known: dict[tuple[str, int], int] = {}
    for _, model, hour, tokens in calls:
        plain = model.removesuffix(":200k")
        series = plain if plain in series_known else plain.removeprefix("us.")
        count = {"input only": (50, 0), "failed": (0, 0), None: (0, 0)}.get(tokens, tokens)
        value = {"input_tokens": count[0], "output_tokens": count[1]}.get(column, 0)
        known[series, hour] = known.get((series, hour), 0) + value
    totals = {(model, hour): value for model, name, value, hour in metrics if name == metric}
    return sum(max(totals.get(key, 0), known.get(key, 0)) for key in totals.keys() | known.keys())
