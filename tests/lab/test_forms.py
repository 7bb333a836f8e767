"""What cached calls show of the form in which AWS reports input."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.lab.forms import ANSWER, seen_forms
from etl.lab.sent_calls import Entry
from etl.lab.verify import check_run
from tests.support import ACCOUNT, call, load, uuid_of, write_log, write_metrics

GPT = "openai.gpt-5.4"
TODAY = date(2026, 11, 29)


def entry(number: int, input_tokens: int, cached: int, model: str = GPT) -> Entry:
    return Entry(
        run_id="r", call=number, attempt=1, planned=1, scenario="s", application="Unknown",
        user_name="alice", account_id=ACCOUNT, region="us-east-1", model_id=model,
        operation="Converse", time="2026-11-02T10:15:00Z", status="ok",
        request_id=uuid_of(1_000_000 + number),
        usage={"input_tokens": input_tokens, "output_tokens": 5, "cache_read_tokens": cached},
    )  # fmt: skip


def event(number: int, input_tokens: int, cached: int | None, model: str = GPT) -> dict[str, Any]:
    extra = {"inputTokens": input_tokens, "outputTokens": 5, "cacheReadInputTokens": cached}
    known = {key: value for key, value in extra.items() if value is not None}
    parameters = {"requestParameters": {"modelId": model}, "additionalEventData": known}
    return call(number, eventName="Converse", **parameters)


@pytest.mark.parametrize(
    ("said", "reported", "model", "form", "contains"),
    [
        ((1000, 600), 1000, GPT, "gross", "contains"),
        ((1000, 600), 400, GPT, "net", "does not contain"),
        # More cached than input: the answer itself is net.
        ((400, 600), 400, GPT, "net", "does not contain"),
        ((400, 600), 1000, GPT, "gross", "contains"),
        ((1000, 600), 999, GPT, None, "fits no form"),
        ((1000, 600), 1600, "anthropic.claude-opus-5-v1:0", "gross", "contains"),
    ],
)
def test_the_form_that_cached_calls_show(
    db: Database,
    tmp_path: Path,
    said: tuple[int, int],
    reported: int,
    model: str,
    form: str | None,
    contains: str,
) -> None:
    load(
        db,
        write_log(tmp_path / "1.json", [event(1, reported, said[1], model), event(2, 7, 0, model)]),
        write_metrics(
            tmp_path / "m.csv",
            [(model, "InputTokenCount", reported + 7), (model, "Invocations", 2)],
        ),
    )
    entries = [entry(1, *said, model), entry(2, 7, 0, model)]
    seen = {one.source: one for one in seen_forms(db, entries, TODAY)}
    answer = seen.pop(ANSWER, None)
    assert (answer.form if answer else None) == ("net" if said[1] > said[0] else None)
    assert {source: (one.form, contains in one.words) for source, one in seen.items()} == {
        "additionalEventData": (form, True),
        "CloudWatch": (form, True),
    }
    family = model.partition(".")[0]
    line = f"{family}.,additionalEventData,{form},1 call of lab verify,2026-11-29"
    assert seen["additionalEventData"].line == (line if form else None)
    if model == GPT:
        differing = {one.field for one in check_run(db, entries)[0].differences}
        assert ("input_tokens" in differing) == (form is None)


def test_what_the_table_says_already_needs_no_line(db: Database, tmp_path: Path) -> None:
    model = "anthropic.claude-opus-5-v1:0"
    load(db, write_log(tmp_path / "1.json", [event(1, 400, 600, model), event(2, 3, 0)]))
    for seen in seen_forms(db, [entry(1, 400, 600, model), entry(2, 3, 0)], TODAY):
        assert (seen.model_id, seen.form, seen.line) == (model, "net", None)


def test_other_calls_of_the_hour_hide_what_cloudwatch_counts(db: Database, tmp_path: Path) -> None:
    metrics = [(GPT, "InputTokenCount", 1000), (GPT, "Invocations", 2)]
    load(
        db,
        write_log(tmp_path / "1.json", [event(1, 1000, 600)]),
        write_metrics(tmp_path / "m.csv", metrics),
    )
    seen = seen_forms(db, [entry(1, 1000, 600)], TODAY)
    assert [one.source for one in seen] == ["additionalEventData"]
