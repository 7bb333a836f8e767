"""How long a person waits for our pages: in the server, and until a browser has drawn them.

    python -m bench.pages [--events 10000000] [--database FILE] [--rounds 5]

An existing warehouse is measured as it is; otherwise one is built as in ``bench.reading``. Every
page is requested over its default range, by Datasette's own client in this process, and the median
of several rounds is printed. *changed*: for the first visitor after a commit, with SQLite's cache
warm. *server*: for all later visitors. *data*: the slowest of the answers for the page's charts.
*drawn*: from the first request until every chart is drawn, in headless Chromium against ``serve``;
the first time, the browser's cache is empty.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from datasette.app import Datasette

from bench.reading import fill
from bench.spent import Spent, median, spent
from etl.web.app import build_datasette

SERVER_GOAL_MS, DRAWN_GOAL_S = 150, 2
ALL_DRAWN = "() => [...document.querySelectorAll('figure.chart')].every((c) => c.dataset.drawn)"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-quic", "--disable-background-networking")


async def pages_of(datasette: Datasette) -> dict[str, str]:
    """Return the address of each kind of page, for the most expensive subjects."""
    rows = (await datasette.client.get("/bedrock_usage/usage.json?by_application=1&by_user=1"
                                       "&by_model=1&_shape=array")).json()  # fmt: skip
    most = max(rows, key=lambda row: row["cost_usd"] or 0)
    names = {
        "application": most["application"],
        "user": most["user_name"],
        "model": most["model_id"],
    }
    subjects = {kind: f"/{kind}?{urlencode({'name': name})}" for kind, name in names.items()}
    cost = urlencode({"application": most["application"]})
    hour = (await datasette.client.get("/bedrock_usage/freshness.json?_shape=array")).json()[0]
    return {
        **{"dashboard": "/", **subjects, "cost": "/cost", "cost of one": f"/cost?{cost}"},
        **{"errors": "/errors", "models": "/models", "unusual": "/unusual"},
        "hour": f"/hour?hour={hour['last_event_time'][:13]}",
        "search": "/search?q=" + names["user"][:3],
        # Of an id that no call has, all days of the range are compared.
        "id": "/search?q=00000000-0000-4000-8000-000000000000",
    }


class Server(NamedTuple):
    """The times of one page, as described at the top of this module."""

    changed: Spent
    server: Spent
    data: Spent


async def time_server(datasette: Datasette, path: str, rounds: int) -> Server:
    """Return the server's time for a page, and for the data of its charts."""
    changed = await _median(datasette, path, rounds, datasette.bedrock_usage.answers.forget)
    page = await _median(datasette, path, rounds)
    html = (await datasette.client.get(path)).text
    sources = {unescape(found) for found in re.findall(r'data-json="([^"]+)"', html)}
    data = [await _median(datasette, source, rounds) for source in sources]
    return Server(changed, page, max(data, default=Spent(0, 0, 0)))


async def _median(
    datasette: Datasette, path: str, rounds: int, before: Callable[[], None] = lambda: None
) -> Spent:
    taken = []
    for _ in range(rounds + 1):
        before()
        before_it = spent()
        response = await datasette.client.get(path)
        taken.append(spent().since(before_it))
        assert response.status_code == 200, path
    return median(taken[1:])


@contextmanager
def serving(db: Path) -> Iterator[str]:
    """Serve a warehouse with the command; yield its address once it is ready."""
    command = [sys.executable, "-m", "etl", "serve", "--db", str(db), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # Before it listens, it says what else has to be done.
            yield next(line.split()[2] for line in process.stderr if " at http://" in line)
        finally:
            process.terminate()


def time_drawing(db: Path, paths: dict[str, str], rounds: int) -> dict[str, list[float]]:
    """Return the seconds until each page is drawn, first with an empty cache, then a full one."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        return {}
    with serving(db) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        _draw(context, url)  # the server prepares its drawing script once
        context.close()
        seconds = {}
        for name, path in paths.items():
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            seconds[name] = [_draw(context, url + path.lstrip("/")) for _ in range(rounds)]
            context.close()
        browser.close()
    return seconds


def _draw(context: Any, address: str) -> float:
    page = context.new_page()
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_function(ALL_DRAWN, timeout=120_000)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def main() -> None:
    """Measure, and print one line per page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        database = options.database or Path(folder) / "made.db"
        if not database.exists():
            fill(database, options.events)
        measure(database, options.rounds)


def measure(database: Path, rounds: int) -> None:
    """Print the times of each page of a warehouse."""

    async def ask() -> tuple[dict[str, str], dict[str, Server]]:
        datasette = build_datasette(database)
        paths = await pages_of(datasette)
        return paths, {name: await time_server(datasette, p, rounds) for name, p in paths.items()}

    paths, server = asyncio.run(ask())
    drawn = time_drawing(database, paths, rounds)
    print(f"{'page':<14}" + "".join(f"{title:>18}" for title in Server._fields), end="")
    print(f"{'drawn first':>13}{'drawn again':>13}   in brackets: ms of CPU")
    for name, times in server.items():
        seconds = drawn.get(name)
        again = f"{seconds[0]:>11.2f} s{statistics.median(seconds[1:]):>11.2f} s" if seconds else ""
        cells = (f"{1000 * one.wall:.0f} ms ({1000 * one.cpu:.0f})" for one in times)
        print(f"{name:<14}" + "".join(f"{cell:>18}" for cell in cells) + again)
    slowest = max(1000 * times.server.wall for times in server.values())
    print(f"goal: at most {SERVER_GOAL_MS} ms in the server: {_met(slowest <= SERVER_GOAL_MS)}")
    if drawn:
        met = _met(max(drawn["dashboard"]) <= DRAWN_GOAL_S)
        print(f"goal: the dashboard drawn within {DRAWN_GOAL_S} s: {met}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"


if __name__ == "__main__":
    main()
