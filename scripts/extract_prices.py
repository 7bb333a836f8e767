"""Make an extract in ``scripts/price_inputs`` from a package's own price data.

    python -m scripts.extract_prices PACKAGE.whl [--output FILE]

PACKAGE is a wheel of litellm or genai-prices as PyPI has it (``pip download --no-deps litellm``),
unpacked nowhere: its name gives the version, and only its data file is read. Nothing in it is run.
Without ``--output``, the extract takes the place of the one of the same package. The same wheel
gives the same bytes.

An extract has one rate a row and every rate that the package lists for Bedrock, those that
``build_list_prices`` leaves out included, with the figure as the package has it. USD per million
tokens for tokens; ``raw_key`` has the amount of everything else.
"""

import argparse
import csv
import gzip
import io
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from etl.normalise.price_packages import (
    GENAI_COLUMNS,
    LITELLM_COLUMNS,
    read_genai,
    read_litellm,
)

INPUTS = Path(__file__).with_name("price_inputs")


class Package(NamedTuple):
    """How a package keeps its prices: its data file in the wheel, and the extract's columns."""

    data_file: str
    extract: str
    columns: tuple[str, ...]


LITELLM = Package(
    "litellm/model_prices_and_context_window_backup.json",
    "litellm_bedrock.csv.gz",
    LITELLM_COLUMNS,
)
GENAI = Package(
    "genai_prices/data.py",
    "genai_prices_bedrock.csv.gz",
    GENAI_COLUMNS,
)
PACKAGES = {"litellm": LITELLM, "genai_prices": GENAI}


def extract(wheel: Path) -> tuple[Package, bytes]:
    """Return the package that a wheel is of, and its extract."""
    name, version, *_ = wheel.name.split("-")
    if name not in PACKAGES:
        raise ValueError(f"{wheel.name} is not a wheel of {' or '.join(PACKAGES)}")
    package = PACKAGES[name]
    with zipfile.ZipFile(wheel) as files:
        text = files.read(package.data_file).decode("utf-8")
    read = read_litellm if package is LITELLM else read_genai
    rows = list(read(text, f"{name.replace('_', '-')} {version}"))
    return package, render(package.columns, rows)


def render(columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # Without a time, the same rates are the same bytes.
    return gzip.compress(text.getvalue().encode(), mtime=0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make an extract from a package's price data.")
    parser.add_argument("wheel", type=Path, metavar="PACKAGE.whl")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    package, content = extract(options.wheel)
    output = options.output or INPUTS / package.extract
    output.write_bytes(content)
    rates = len(gzip.decompress(content).splitlines()) - 1
    print(f"{rates} rates: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
