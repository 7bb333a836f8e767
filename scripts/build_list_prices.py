"""Build ``sql/seeds/list_prices.csv``, the list prices this project ships with.

    python -m scripts.build_list_prices [INPUT_DIR] [--output FILE] [--check]

INPUT_DIR, ``scripts/price_inputs`` by default, holds extracts of two MIT-licensed packages (see its
``NOTICE.md``), one rate a row: ``litellm_bedrock.csv.gz`` (1.109.1),
``litellm_1.98.0_bedrock.csv.gz`` (still lists models that were retired since) and
``genai_prices_bedrock.csv.gz`` (0.2.3). Same input, same bytes. ``--check`` writes nothing and
fails if the file would change; ``make lint`` runs it, so an edit of the result alone does not pass.

**How to correct a price.** Add a line to ``scripts/list_price_corrections.csv`` with the reason and
the source of the right figure (see Corrections below), run ``python -m scripts.build_list_prices``,
review the diff of ``sql/seeds/list_prices.csv``, and commit both files. If a test in
``tests/prices/test_list_prices.py`` has the old figure, correct it from the source, not from the
result.

**One row** is one dated rate: ``model_id, region, scope, service_tier, token_kind,
min_input_tokens`` and the half-open period ``[effective_from, effective_to)`` in UTC days.
``usd_per_mtok`` is an integer: micro-dollars per million tokens, which is pico-dollars per token
(3.30 USD a million is 3300000). For kinds that are not tokens it is pico-dollars per unit: an
image, a second, a request, a search unit.

**Regions.** A region's own row wins over ``*``. AWS bills ``us.``, ``eu.`` and other geographic
profiles at the plain rate of the region that was called, so a profile's figure in litellm is the
price of some region, never a separate price:

- ``us.`` rows, and rows without a prefix that do not contradict them, are the price in the United
  States. If no other commercial region is known to differ, that is the ``*`` row.
- If a single commercial region outside the US is known to differ, the US figure is written for
  ``US_REGIONS`` only and there is no ``*`` row: a region that was not looked up stays visibly
  unpriced instead of getting a US price. (Nova Lite input: 0.06 in Virginia, 0.078 in Frankfurt; a
  published bill from Ireland works out at 0.069.)
- litellm's ``eu.``, ``apac.`` and ``jp.`` rows of Amazon's Nova models are the prices of Frankfurt,
  Sydney and Tokyo, and are used for those regions only. A geo row of another vendor that differs
  from the US price names no region: it rules out ``*`` and gives no row.
- GovCloud regions always get everything known about them, including from ``us-gov.`` rows. ``*``
  covers the commercial regions only and says nothing about GovCloud prices.

**Scope.** ``global`` comes only from ``global.`` rows, ``regional`` from all others. Claude 4.5 and
later, Nova 2 and GPT-6 without a prefix carry the *global* price in litellm, 10 % low; a row
that contradicts the ``us.`` row is skipped if it is the global price, and stops the build if not.

**Zeros.** An embedding's output (0) and Nova's cache writes (0 in the AWS Price List) are real
prices. The zero token prices of rerankers are not: rerankers are billed per search, so these are
left out. Unknown prices have no row: a one-hour cache price or a batch price is never derived.

**Long context.** litellm's ``above_200k_tokens`` rate applies to the whole request, all kinds, when
its input is *more* than 200,000 tokens. So the row to use is the one with the largest
``min_input_tokens`` below the request's total input; 0 always applies.

**Cache writes.** ``cache_write_5m`` is a model's ordinary cache write. OpenAI's, Moonshot's and
Z.ai's live 30 minutes, not five. The calls do not say so, so there is no separate kind.

**Dates.** A rate that never changed starts at ``SINCE_LAUNCH``. genai-prices dates three price
cuts, which are used. litellm's own history is not: it mixes price changes with corrections and has
release numbers, but no dates.

**Corrections.** ``scripts/list_price_corrections.csv`` has one fact per line, with its reason. A
correction that no longer applies is an error:

- ``drop``: an entire litellm entry to ignore, named by its label in ``source``.
- ``end``: the first day without a rate, for a model's rows of one ``min_input_tokens``.
- ``replace``: a complete row that replaces the one with the same key: all columns up to
  ``min_input_tokens``, and ``effective_from``.
- ``add``: a complete row with a new key.
"""

import argparse
import csv
import gzip
import io
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from etl.warehouse.price_file import COLUMNS, PriceRow, parse_row

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "sql" / "seeds" / "list_prices.csv"
# The list itself is never edited (DECISIONS 136).
CORRECTIONS = Path(__file__).with_name("list_price_corrections.csv")
INPUTS = Path(__file__).with_name("price_inputs")
GENAI = "genai_prices_bedrock.csv.gz"

ACTIONS = ("drop", "end", "replace", "add")

SINCE_LAUNCH = "2023-01-01"
CHECKED_ON = "2026-11-23"

# Where litellm lists several of these for a model, they never differ. Northern California is listed
# for two models only, too few to include it.
US_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
GOV_REGIONS = ("us-gov-east-1", "us-gov-west-1")
GEO_OUTSIDE_US = ("eu", "apac", "jp", "au", "in", "ca")
NOVA_REGIONS = {"eu": "eu-central-1", "apac": "ap-southeast-2", "jp": "ap-northeast-1"}

PROVIDER = re.compile(
    r"(ai21|amazon|anthropic|cohere|deepseek|google|meta|minimax|mistral|moonshot|moonshotai"
    r"|nvidia|openai|qwen|stability|twelvelabs|writer|xai|zai)\.[^@/]+"
)

# Two ids for one model: the first gets the rows of the second. The mantle endpoint's Haiku has no
# date in its name, and litellm gives it the global price.
SAME_MODEL = {
    "anthropic.claude-haiku-4-5": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "moonshot.kimi-k2-thinking": "moonshotai.kimi-k2-thinking",
}
# The id without "-instruct" has other prices outside the US; litellm lists none for this id.
US_ONLY = {"qwen.qwen3-next-80b-a3b-instruct"}

# Bedrock models that litellm does not list. genai-prices names some models differently
# (claude-sonnet-5-v1:0), so these ids are chosen by hand.
GENAI_ONLY = {
    "amazon.nova-sonic-v1:0",
    "anthropic.claude-fable-5-2",
    "anthropic.claude-mythos-5-2",
    "moonshotai.kimi-k3.1",
}
GENAI_KINDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write_5m",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
}

# litellm's names for units other than plain tokens, all in USD per unit. "per query" is a search
# for a reranker and a text request for an embedding model.
UNIT_KINDS = {
    "output_cost_per_image": "image",
    "input_cost_per_image": "image_input",
    "input_cost_per_image_token": "image_token_input",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_audio_per_second": "audio_second_input",
    "input_cost_per_video_per_second": "video_second_input",
    "input_cost_per_query": "text_request",
}


class Item(NamedTuple):
    """What is being sold."""

    service_tier: str
    token_kind: str
    min_input_tokens: int


class Price(NamedTuple):
    """An exact price and where it comes from."""

    usd_per_mtok: int
    source: str


Sheet = dict[Item, Price]


class Entry(NamedTuple):
    """One named entry of litellm's price map with all its rates.

    ``geo`` is ``in_region``, ``global`` or a profile prefix without its dot; ``region`` is empty
    unless the entry's name has one.
    """

    label: str
    model_id: str
    endpoint: str
    region: str
    geo: str
    sheet: Sheet


def item_of(row: PriceRow) -> Item:
    return Item(row.service_tier, row.token_kind, row.min_input_tokens)


class Correction(NamedTuple):
    """One line of the corrections file: ``action``, ``reason``, then the columns of a row."""

    action: str
    reason: str
    values: dict[str, str]


class Genai(NamedTuple):
    """One rate of genai-prices; ``since`` is empty for the period that starts at launch."""

    label: str
    model_id: str
    scope: str
    item: Item
    usd_per_mtok: int
    since: str


def parse_amount(text: str, *, scale: int) -> int:
    """Return ``text`` dollars times ``10 ** scale``; raise ValueError unless that is whole."""
    amount = Decimal(text).scaleb(scale)
    if amount != amount.to_integral_value() or amount < 0:
        raise ValueError(f"{text!r} USD is not a whole number of 10^-{scale} dollars")
    return int(amount)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, compressed if its name says so."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# litellm


def image_kind(key: str) -> str:
    """Return ``image``, or the kind for the size in a name such as ``512-x-512/50-steps/``.

    A plain ``image`` row means: one price, regardless of size, quality or steps.
    """
    size, steps, *_ = [*key.split("/"), ""]
    if "-x-" not in size:
        return "image"
    size = "max" if size == "max-x-max" else size.replace("-x-", "x")
    return f"image_{size}_{steps.replace('-', '_')}"


def parse_rate(row: dict[str, str]) -> tuple[Item, int] | None:
    """Return the item of a litellm row and its price, or None for a meaningless zero."""
    if row["mode"] == "rerank" and row["kind"] in ("input", "output"):
        return None
    if row["kind"] != "other":
        item = Item(row["tier"], row["kind"], int(row["ctx_min"]))
        return item, parse_amount(row["usd_per_mtok"], scale=6)
    name, _, usd = row["raw_key"].partition("=")
    kind = "search_unit" if row["mode"] == "rerank" else UNIT_KINDS[name]
    kind = image_kind(row["key"]) if kind == "image" else kind
    return Item(row["tier"], kind, int(row["ctx_min"])), parse_amount(usd, scale=12)


def is_on_demand_bedrock(row: dict[str, str]) -> bool:
    """Exclude provisioned throughput, and Anthropic's own platform sold through AWS.

    The latter (``claude_platform``) has batch rates that litellm's Bedrock entries lack, but they
    belong to another product. Names without a provider are not Bedrock ids either.
    """
    model = row["model"].rpartition("/")[2]
    return (
        not row["commitment"]
        and row["endpoint"] != "claude_platform"
        and PROVIDER.fullmatch(model) is not None
    )


def read_litellm(path: Path) -> dict[str, Entry]:
    """Return the entries of one litellm release by name."""
    entries: dict[str, Entry] = {}
    for row in filter(is_on_demand_bedrock, read_csv(path)):
        label = f"{row['source']} {row['key']}"
        model_id = row["model"].rpartition("/")[2]
        new = Entry(label, model_id, row["endpoint"], row["region"], row["scope"], {})
        entry = entries.setdefault(row["key"], new)
        if rate := parse_rate(row):
            entry.sheet[rate[0]] = Price(rate[1], label)
    return entries


def add_free_cache_writes(entry: Entry) -> Entry:
    """Give a Nova entry with a cache-read price its cache-write price, which is zero.

    The Price List has a real $0 usage type for it; litellm has no row and other tools charge the
    input rate. Only the standard tier is listed.
    """
    read, write = (Item("standard", kind, 0) for kind in ("cache_read", "cache_write_5m"))
    if entry.model_id.startswith("amazon.nova-") and read in entry.sheet:
        entry.sheet[write] = Price(0, "AWS Price List cache-write-input-token-count")
    return entry


# One model: from entries to rows


def agrees(one: Sheet, other: Sheet) -> bool:
    """Return whether no item has two prices; an item in only one sheet is not a conflict."""
    return all(one[item].usd_per_mtok == other[item].usd_per_mtok for item in one.keys() & other)


def global_sheet(entries: Iterable[Entry]) -> Sheet:
    return dict(chain.from_iterable(e.sheet.items() for e in entries if e.geo == "global"))


def us_sheet(entries: list[Entry]) -> Sheet:
    """Return the regional price in the United States, from ``us.`` and from unprefixed entries.

    The ``us.`` entry comes first, then the mantle endpoint's, then the plain one. A later entry
    fills gaps if it agrees with the earlier ones, and is skipped if it is just the global price.
    Raises ValueError if it is neither, or if there is a global price but no ``us.`` entry: a plain
    entry could then be either.
    """
    worldwide = global_sheet(entries)
    plain = [e for e in entries if e.geo == "in_region" and not e.region]
    plain.sort(key=lambda e: e.endpoint != "mantle")
    sheet: Sheet = {}
    for entry in [*(e for e in entries if e.geo == "us"), *plain]:
        if sheet and not agrees(sheet, entry.sheet):
            if agrees(worldwide, entry.sheet) and worldwide:
                continue
            raise ValueError(f"{entry.label} contradicts the other entries of {entry.model_id}")
        if not sheet and worldwide and entry.geo != "us":
            raise ValueError(f"{entry.label}: may be the global price; there is no us. entry")
        sheet = entry.sheet | sheet
    return sheet


def own_sheets(entries: list[Entry]) -> dict[str, Sheet]:
    """Return the prices of single regions; an entry named after a region wins over a profile."""
    sheets: dict[str, Sheet] = {}
    for entry in sorted(entries, key=lambda e: e.region != ""):
        nova = entry.model_id.startswith("amazon.nova-")
        regions: tuple[str, ...] = (entry.region,) if entry.region else ()
        if entry.geo == "us-gov":
            regions = GOV_REGIONS
        elif nova and entry.geo in NOVA_REGIONS:
            regions = (NOVA_REGIONS[entry.geo],)
        for region in regions:
            sheets[region] = sheets.get(region, {}) | entry.sheet
    return sheets


# Then regions without a row are unpriced (DECISIONS 14).
def is_us_price_only(home: Sheet, entries: Iterable[Entry]) -> bool:
    """Return whether some commercial region outside the US is known to have another price."""
    return any(
        not agrees(home, entry.sheet)
        for entry in entries
        if entry.geo in GEO_OUTSIDE_US or (entry.region and not entry.region.startswith("us-"))
    )


def regional_sheets(model_id: str, entries: list[Entry]) -> dict[str, Sheet]:
    """Return the regional rates by region, ``*`` included; see the module's note on regions."""
    home, own = us_sheet(entries), own_sheets(entries)
    if model_id in US_ONLY or is_us_price_only(home, entries):
        return own | {region: home | own.get(region, {}) for region in US_REGIONS}
    for region in own.keys() - set(GOV_REGIONS):
        own[region] = {i: p for i, p in own[region].items() if i not in home or home[i][0] != p[0]}
    return own | {"*": home}


def sheet_rows(model_id: str, region: str, scope: str, sheet: Sheet) -> Iterator[PriceRow]:
    for item, price in sheet.items():
        usd, source = price
        yield PriceRow(model_id, region, scope, *item, usd, SINCE_LAUNCH, None, source, CHECKED_ON)


def model_rows(model_id: str, entries: list[Entry]) -> Iterator[PriceRow]:
    """Yield every current rate of one model."""
    yield from sheet_rows(model_id, "*", "global", global_sheet(entries))
    for region, sheet in regional_sheets(model_id, entries).items():
        yield from sheet_rows(model_id, region, "regional", sheet)


def litellm_rows(entries: Iterable[Entry]) -> Iterator[PriceRow]:
    """Yield every current rate of every model, under each of its ids."""
    models: dict[str, list[Entry]] = {}
    for entry in entries:
        models.setdefault(SAME_MODEL.get(entry.model_id, entry.model_id), []).append(entry)
    for model_id, group in models.items():
        yield from model_rows(model_id, group)
    for other_id, model_id in SAME_MODEL.items():
        yield from model_rows(other_id, models.get(model_id, []))


# genai-prices


def read_genai(path: Path) -> list[Genai]:
    rates = []
    for row in read_csv(path):
        prefix, dot, rest = row["model_id"].partition(".")
        known = prefix in ("global", "regional")
        rates.append(
            Genai(
                label=f"{row['source']} {row['model_id']}",
                model_id=rest if known else prefix + dot + rest,
                scope="global" if prefix == "global" else "regional",
                item=Item("standard", GENAI_KINDS[row["price_key"]], int(row["tier_start"])),
                usd_per_mtok=parse_amount(row["usd"], scale=6),
                since=row["effective_from"],
            )
        )
    return rates


def genai_only_rows(rates: Iterable[Genai]) -> Iterator[PriceRow]:
    """Yield the rates of models that only genai-prices lists."""
    for rate in rates:
        if rate.model_id in GENAI_ONLY:
            price = Price(rate.usd_per_mtok, rate.label)
            yield from sheet_rows(rate.model_id, "*", rate.scope, {rate.item: price})


def date_price_cuts(rows: Iterable[PriceRow], rates: list[Genai]) -> Iterator[PriceRow]:
    """Start today's rate on the day of a dated cut, and add the earlier rate.

    genai-prices has at most one cut per model, for the ``*`` rows; a kind or context tier that it
    does not list before the cut gets no earlier row.
    """
    cuts = {(r.model_id, r.scope): r.since for r in rates if r.since}
    before = {(r.model_id, r.scope, r.item): r for r in rates if not r.since}
    for row in rows:
        day = cuts.get((row.model_id, row.scope)) if row.region == "*" else None
        if day is None:
            yield row
            continue
        yield row._replace(effective_from=day)
        if old := before.get((row.model_id, row.scope, item_of(row))):
            yield row._replace(usd_per_mtok=old.usd_per_mtok, effective_to=day, source=old.label)


def undated(model_id: str) -> str:
    """Return the id without date and version, which genai-prices sometimes writes differently."""
    return re.sub(r"(-20\d{6})?(-v\d+)?(:\d+)?$", "", model_id)


def second_opinions(
    rows: list[PriceRow], rates: list[Genai], decided: Container[PriceRow] = ()
) -> Iterator[str]:
    """Yield a line for every current rate on which genai-prices disagrees.

    ``decided``: rows that replace a source's, with a reason: on those there is no other opinion.
    """
    ours = {
        (row.model_id, row.scope, item_of(row)): row.usd_per_mtok
        for row in rows
        if row.region in ("*", US_REGIONS[0]) and not row.effective_to and row not in decided
    }
    ours |= {(undated(key[0]), *key[1:]): amount for key, amount in ours.items()}
    latest = {(r.model_id, r.scope, r.item): r for r in sorted(rates, key=lambda r: r.since)}
    for (model_id, scope, item), rate in sorted(latest.items()):
        same_model = (model_id, scope, item), (undated(model_id), scope, item)
        mine = next((ours[key] for key in same_model if key in ours), rate.usd_per_mtok)
        if mine != rate.usd_per_mtok:
            yield f"{rate.label} {item}: {rate.usd_per_mtok} there, {mine} here"


# Corrections


def read_corrections(path: Path) -> list[Correction]:
    """Return the corrections; raise ValueError for an unknown action or a missing reason."""
    corrections = [Correction(r.pop("action"), r.pop("reason"), r) for r in read_csv(path)]
    for correction in corrections:
        if correction.action not in ACTIONS:
            raise ValueError(f"{correction.action!r} is not one of {', '.join(ACTIONS)}")
        if not correction.reason:
            raise ValueError(f"{correction.action} needs a reason: {correction.values}")
    return corrections


def drop_entries(entries: Iterable[Entry], drops: Iterable[Correction]) -> list[Entry]:
    """Return the entries without those that a ``drop`` names by label in its ``source``."""
    kept = {entry.label: entry for entry in entries}
    for drop in drops:
        if kept.pop(drop.values["source"], None) is None:
            raise ValueError(f"nothing left to drop: {drop.values['source']}")
    return list(kept.values())


def end_rows(rows: Iterable[PriceRow], ends: list[Correction]) -> Iterator[PriceRow]:
    """Set the last day of rows without one; an ``end`` names them by model and context threshold.

    Raises ValueError for one that ends nothing, or nothing any more.
    """
    days = {
        (end.values["model_id"], int(end.values["min_input_tokens"])): end.values["effective_to"]
        for end in ends
    }
    used = set()
    for row in rows:
        key = (row.model_id, row.min_input_tokens)
        # An earlier price of the model has its last day already.
        if key in days and not row.effective_to:
            used.add(key)
            row = row._replace(effective_to=days[key])
        yield row
    if missing := days.keys() - used:
        raise ValueError(f"nothing to end: {sorted(missing)}")


def replace_rows(rows: Iterable[PriceRow], replacements: Iterable[PriceRow]) -> Iterator[PriceRow]:
    """Yield the rows, with replacements in place of rows that have the same key.

    Raises ValueError for a replacement that names no row, and for one that is no longer needed: the
    sources now have the same rate and last day.
    """
    waiting = {row_key(row): row for row in unique(replacements, key=row_key)}
    for row in rows:
        new = waiting.pop(row_key(row), None)
        if new and (new.usd_per_mtok, new.effective_to) == (row.usd_per_mtok, row.effective_to):
            raise ValueError(f"nothing changes, remove the replacement: {new}")
        yield new or row
    if waiting:
        raise ValueError(f"nothing to replace: {list(waiting)}")


# The whole


def given_rows(corrections: Iterable[Correction], action: str) -> list[PriceRow]:
    """Return the rows that corrections of an action give in full."""
    return [parse_row(one.values) for one in corrections if one.action == action]


def build_rows(input_dir: Path, corrections: list[Correction]) -> list[PriceRow]:
    """Return every row of the result, sorted by key; raise ValueError if a key occurs twice."""

    def having(action: str) -> list[Correction]:
        return [c for c in corrections if c.action == action]

    old = read_litellm(input_dir / "litellm_1.98.0_bedrock.csv.gz")
    new = read_litellm(input_dir / "litellm_bedrock.csv.gz")
    rates = read_genai(input_dir / GENAI)
    entries = drop_entries((old | new).values(), having("drop"))
    rows = date_price_cuts(litellm_rows(map(add_free_cache_writes, entries)), rates)
    rows = end_rows(chain(rows, genai_only_rows(rates)), having("end"))
    rows = replace_rows(unique(rows, key=row_key), given_rows(corrections, "replace"))
    return sorted(unique(chain(rows, given_rows(corrections, "add")), key=row_key), key=row_key)


def row_key(row: PriceRow) -> tuple[Any, ...]:
    return (*row.use, row.effective_from)


def unique(rows: Iterable[PriceRow], *, key: Callable[[PriceRow], object]) -> list[PriceRow]:
    seen: dict[object, PriceRow] = {}
    for row in rows:
        if seen.setdefault(key(row), row) is not row:
            raise ValueError(f"twice: {row}")
    return list(seen.values())


def render(rows: Iterable[PriceRow]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row[: len(COLUMNS)] for row in rows)
    return text.getvalue()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the list-price seed from price extracts.")
    parser.add_argument("input_dir", type=Path, nargs="?", default=INPUTS, metavar="INPUT_DIR")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    options = parser.parse_args(arguments)

    corrections = read_corrections(CORRECTIONS)
    rows = build_rows(options.input_dir, corrections)
    rates = read_genai(options.input_dir / GENAI)
    for line in second_opinions(rows, rates, given_rows(corrections, "replace")):
        print(f"genai-prices disagrees: {line}", file=sys.stderr)
    text = render(rows)
    if options.check:
        if options.output.exists() and options.output.read_text(encoding="utf-8") == text:
            return 0
        print(
            f"{options.output} differs from its inputs: run again without --check", file=sys.stderr
        )
        return 1
    options.output.write_text(text, encoding="utf-8")
    print(f"{len(rows)} rates of {len({row.model_id for row in rows})} models: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
