"""What the price table says about one model, and what it lacks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from difflib import get_close_matches
from typing import Any

from sqlite_utils import Database

from etl.errors import DataError
from etl.normalise.model_ids import parse_model_id
from etl.warehouse.read.reports import Filters, run_report

_NEAR = 5


def price_history(
    db: Database, model: str, *, regions: Sequence[str] = (), today: date
) -> list[dict[str, Any]]:
    """Return every rate that may price a model, by any of its ids; see ``price_history.sql``.

    ``regions``: only rates that apply there. Raises DataError if no rate of the model is known.
    """
    names = parse_model_id(model)
    parameters = {
        "model_ids": json.dumps(names.price_model_ids),
        "regions": _regions(regions),
        "today": today.isoformat(),
    }
    rows = run_report(db, "price_history", parameters)
    if not rows:
        raise DataError(_unknown(db, names.canonical_model_id, regions))
    return rows


def _regions(regions: Sequence[str]) -> str | None:
    """Return the regions of a rate that applies in any of these, as JSON; None for all."""
    if not regions:
        return None
    is_commercial = any(not region.startswith("us-gov-") for region in regions)
    return json.dumps([*regions, *(["*"] if is_commercial else [])])


def _unknown(db: Database, model_id: str, regions: Sequence[str]) -> str:
    known = [row[0] for row in db.execute("select distinct model_id from prices order by 1")]
    if set(parse_model_id(model_id).price_model_ids) & set(known):
        return f"no rate of {model_id} applies in {', '.join(regions)}; leave out --region"
    inside = [one for one in known if model_id and model_id in one]
    near = inside[:_NEAR] or get_close_matches(model_id, known, n=_NEAR, cutoff=0.6)
    hint = f": did you mean {', '.join(near)}?" if near else ""
    listed = "`bedrock-usage prices list` has every model"
    return f"no price of {model_id} is known{hint or '; ' + listed}"


def price_gaps(db: Database, filters: Filters) -> list[dict[str, Any]]:
    """Return the usage without a price that the filters leave; see the view ``price_gaps``."""
    parameters = filters.parameters()
    wanted = ("since", "until", "regions", "models")
    return run_report(db, "price_gaps", {name: parameters[name] for name in wanted})
