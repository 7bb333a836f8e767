"""Take the pictures for README and docs/: the pages of the demo in Chromium.

    python -m scripts.take_screenshots [FOLDER]

Needs playwright (``pip install -e '.[dev]'``) and a Chromium; no network.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from etl.demo import write_demo_logs
from etl.load.run import load_files
from etl.warehouse.database import open_warehouse

DOCS = Path(__file__).parents[1] / "docs"
WIDE, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}

# Each picture: the page, and the options of its window.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "dashboard": ("", {"viewport": WIDE}),
    "application": ("application?name=ChatbotApp", {"viewport": WIDE}),
    "user": ("user?name=alice%40example.com", {"viewport": WIDE}),
    "model": ("model?name=amazon.nova-pro-v1%3A0", {"viewport": WIDE}),
    "cost": ("cost?application=ChatbotApp&range=7d", {"viewport": {**WIDE, "height": 760}}),
    "phone": ("?range=7d", {"viewport": PHONE, "color_scheme": "dark"}),
}
# A function, because the pages' policy forbids evaluating an expression.
ALL_DRAWN = "() => [...document.querySelectorAll('figure.chart')].every((c) => c.dataset.drawn)"

# The last day of the demo; a fixed day keeps the pictures the same.
DEMO_NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ("--no-sandbox", "--disable-background-networking", "--disable-component-update")


@contextmanager
def demo_url() -> Iterator[str]:
    """Serve a separate demo while the pictures are taken."""
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


def take(url: str, folder: Path, names: Iterable[str] = PICTURES) -> None:
    """Open the page of each picture and write the visible part to a file of its name."""
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, CHROMIUM)), None)
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        for name in names:
            address, options = PICTURES[name]
            page = browser.new_page(**options)
            page.goto(url + address)
            page.wait_for_function(ALL_DRAWN, timeout=60_000)
            page.screenshot(path=folder / f"{name}.png")
            page.close()
        browser.close()


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS)
    with demo_url() as url:
        take(url, parser.parse_args().folder)


if __name__ == "__main__":
    main()
