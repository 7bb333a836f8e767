"""Where tools run: in a few threads of their own, each call within a time.

The pages of the server have other threads, so no page waits for an agent. An agent's own SQL runs
in the processes that visitors' SQL runs in, with their limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from sqlite_utils import Database

from etl.agents.answers import Answer, bounded
from etl.agents.arguments import DEFAULT_TOP, MAX_TOP, read_arguments
from etl.agents.tools import Ask, Tool, filters_of, tools_for
from etl.clock import Clock
from etl.errors import BusyError, DataError, StoppedError
from etl.show.numbers import count
from etl.warehouse.read.bounded import open_bounded
from etl.warehouse.read.reports import Filters
from etl.warehouse.visitor_sql.ask import ask
from etl.warehouse.visitor_sql.processes import VisitorProcesses

SECONDS = 10.0

# At once, and waiting for one of them; the next is refused.
THREADS = 2
MAX_WAITING = 20


class Desk:
    """The tools over one warehouse, which is up to date. ``processes``: for SQL."""

    def __init__(self, db: Path, processes: VisitorProcesses, *, seconds: float = SECONDS) -> None:
        self._db, self._processes, self._seconds = db, processes, seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="agents")
        self._asked = 0

    async def answer(self, name: str, given: Mapping[str, Any], sight: Filters) -> dict[str, Any]:
        """Return the answer of a tool; ``sight``: what the reader may see.

        Raises DataError for what the agent can change, BusyError if too many are waiting, and
        whatever else goes wrong. Cancelling this stops its statement.
        """
        tools = {tool.name: tool for tool in tools_for(sight)}
        if name not in tools:
            raise DataError(f"there is no such tool; there are {', '.join(tools)}")
        tool = tools[name]
        values = read_arguments(tool.arguments, given)
        if self._asked >= THREADS + MAX_WAITING:
            raise BusyError("too many questions at once; ask again in a moment")
        self._asked += 1
        try:
            if tool.answer is None:
                return await self._query(values)
            return await self._in_thread(tool, values, sight)
        finally:
            self._asked -= 1

    async def _query(self, values: Mapping[str, Any]) -> dict[str, Any]:
        found = await ask(self._processes, values["sql"], seconds=self._seconds, max_rows=MAX_TOP)
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        if rows and len(rows[0]) < len(found.columns):
            raise DataError("two columns have the same name: name each with `as`")
        more = {"rows": None} if found.truncated else {}
        words = f"{'more than ' if found.truncated else ''}{count(len(rows), 'row')}."
        answer = Answer(words, {}, {"rows": rows}, more, is_foreign=True)
        # Up to 16 MB of texts to look at.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, bounded, answer, values["top"])

    async def _in_thread(
        self, tool: Tool, values: Mapping[str, Any], sight: Filters
    ) -> dict[str, Any]:
        turn = _Turn()
        question = Ask(values, filters_of(sight, values), Clock().now())
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._run, tool, question, turn)
        except asyncio.CancelledError:
            turn.end_early()
            raise

    def _run(self, tool: Tool, question: Ask, turn: _Turn) -> dict[str, Any]:
        assert tool.answer is not None  # noqa: S101
        with open_bounded(self._db, seconds=self._seconds) as db:
            turn.begin(db)
            try:
                found = tool.answer(db, question)
            finally:
                turn.end()
        return bounded(found, question.arguments.get("top", DEFAULT_TOP))

    def close(self) -> None:
        """End the threads; what runs in them is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Turn:
    """The time in which a call uses a connection and its statement may be interrupted."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._db: Database | None = None
        self._is_over = False

    def begin(self, db: Database) -> None:
        with self._lock:
            if self._is_over:
                raise StoppedError("nobody waits for the answer")
            self._db = db

    def end(self) -> None:
        with self._lock:
            self._db = None

    def end_early(self) -> None:
        with self._lock:
            self._is_over = True
            if self._db is not None:
                self._db.conn.interrupt()
