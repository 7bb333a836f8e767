"""Take the README's picture: the demo's cost per day and application, as Chromium shows it.

    python -m scripts.take_screenshot [FILE]

Needs playwright (``pip install -e '.[dev]'``) and a Chromium; no network.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import sync_playwright

from etl.demo import write_demo_logs
from etl.load import load_files
from etl.warehouse.database import open_warehouse

SCREENSHOT = Path(__file__).parents[1] / "docs" / "screenshot.png"
TITLE = "Cost per day, by application"

# The day the demo ends on; any would do, but one day keeps the picture the same.
DEMO_NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")


@contextmanager
def demo_url() -> Iterator[str]:
    """Serve a demo of its own while the picture is taken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_demo_logs(folder / "logs", DEMO_NOW)
        with open_warehouse(folder / "demo.db", create=True) as db:
            load_files(db, [folder / "logs"])
        command = [sys.executable, "-m", "etl", "serve", "--db", f"{folder}/demo.db", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            try:
                # "Datasette at URL (stop with Ctrl-C)"
                yield next(iter(server.stderr or ())).split()[2]
            finally:
                server.terminate()


def take(url: str, target: Path) -> None:
    """Open the chart from the front page and write what is in sight to ``target``."""
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(url)
        page.get_by_role("link", name=TITLE, exact=True).click()
        # Until the data have come the canvas has only its margins.
        page.wait_for_function("document.querySelector('.vega-embed canvas')?.width > 100")
        page.screenshot(path=target)
        browser.close()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", nargs="?", type=Path, default=SCREENSHOT)
    with demo_url() as url:
        take(url, parser.parse_args().file)


if __name__ == "__main__":
    main()
