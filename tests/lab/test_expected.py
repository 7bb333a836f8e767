"""What planned calls cost at most: known only where every kind of token has a price."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from sqlite_utils import Database

from etl.lab.expected import expected, total
from etl.lab.scenarios import Scenario
from etl.lab.traffic import plan_calls
from tests.support import HAIKU

NOW = datetime(2026, 11, 3, tzinfo=UTC)


def scenario(model: str) -> Scenario:
    return Scenario(
        name=model.partition(".")[0], model=model, region="us-east-1", operation="Converse",
        calls=2, prompts=("Hello",), role="Reports-BedrockRole",
    )  # fmt: skip


def test_a_lower_bound_is_not_what_calls_cost_at_most(db: Database) -> None:
    db.execute(
        "insert into prices (model_id, region, scope, service_tier, token_kind, min_input_tokens,"
        " usd_per_mtok, effective_from, source, checked_on, origin) values ('acme.half-v1', '*', 'regional',"
        " 'standard', 'input', 0, 20000, '2026-01-01', 'nobody has a price for output', '2026-11-01', 'seed')"
    )
    db.conn.commit()
    path = Path(db.execute("pragma database_list").fetchone()[2])
    plan = plan_calls((scenario(HAIKU), scenario("acme.half-v1")))
    whole, half = expected(plan, NOW, path)
    assert whole.cost_usd is not None
    assert whole.cost_usd > Decimal("0.0002")
    assert half.cost_usd is None
    assert total([whole, half]) == (whole.cost_usd, 2)
