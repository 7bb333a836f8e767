"""Ask tools as an agent does: at the desk, or by the SDK's own client."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from etl.agents.desk import SECONDS, Desk
from etl.warehouse.read.reports import Filters
from etl.warehouse.visitor_sql.processes import VisitorProcesses

sdk = pytest.importorskip("mcp", reason="an extra, mcp")

# Each tool that needs arguments, with some that find something.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "costs_by": {"by": "users"},
    "costs_by_metadata": {"key": "tenant"},
    "query": {"sql": "select * from user_costs"},
}


def at_the_desk(
    db: Path, *questions: tuple[str, dict[str, Any]], seconds: float = SECONDS, **visible: Any
) -> list[dict[str, Any]]:
    """Return the answers to some questions; ``visible``: as in ``Filters``."""

    async def ask() -> list[dict[str, Any]]:
        with (
            closing(VisitorProcesses(db, count=1)) as processes,
            closing(Desk(db, processes, seconds=seconds)) as desk,
        ):
            sight = Filters(**visible)
            return [await desk.answer(name, given, sight) for name, given in questions]

    return asyncio.run(ask())
