"""Search units of rerankers: what a log with bodies shows, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from etl.normalise.invocation_logs import parse_logged_call
from etl.normalise.rows import Event
from tests.cases import cases
from tests.support import HAIKU, load, logged, rows, write_invocation_log

RERANK = "cohere.rerank-v3-5:0"


def query(number: int, documents: object, model: str = RERANK, **fields: Any) -> dict[str, Any]:
    body = {"query": "CaNaRy", "documents": documents}
    request = {"inputContentType": "application/json", "inputBodyJson": body}
    return logged(number, tokens=None, modelId=model, input=request, **fields)


@cases(
    ("documents", "units"),
    [(["x"], 1), (["x"] * 100, 1), (["x"] * 101, 2), ([{"text": "x"}] * 350, 4), ([], None),
     ("x", None), (None, None)],
)  # fmt: skip
def test_a_query_of_up_to_100_documents_is_a_unit(documents: object, units: int | None) -> None:
    row = parse_logged_call(json.dumps(query(1, documents)).encode()).row
    assert isinstance(row, Event)
    assert (row.tokens.search_units if row.tokens else None) == units
    assert "CaNaRy" not in repr(row)


@pytest.mark.parametrize(
    "other",
    [query(1, ["x"], HAIKU), query(1, ["x"], "acme.x-rerank"), query(1, ["x"], errorCode="Denied")],
)
def test_other_models_and_failed_calls_have_no_search_units(other: dict[str, Any]) -> None:
    row = parse_logged_call(json.dumps(other).encode()).row
    assert isinstance(row, Event)
    assert row.tokens is None


def test_they_are_priced_and_no_tokens(db: Database, tmp_path: Path) -> None:
    arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"
    log = [query(1, ["x"] * 350), query(2, ["x"], arn), query(3, None)]
    load(db, write_invocation_log(tmp_path / "log.jsonl", log))
    # AWS Price List: Cohere Rerank v3.5 $0.002, Amazon Rerank 1.0 $0.001.
    assert rows(db, "select model_id, search_units, cost_usd from calls order by 3 desc") == [
        (RERANK, 4, 0.008),
        ("amazon.rerank-v1:0", 1, 0.001),
        (RERANK, None, None),
    ]
    assert rows(db, "select sum(cost_usd), sum(unpriced_tokens) from user_costs") == [(0.009, 0)]
    assert rows(db, "select actual_tokens, calls_without_tokens from daily_costs_by_model"
                    " where model_id like 'cohere%'") == [(0, 1)]  # fmt: skip
