"""Build ``sql/seeds/list_prices.csv``, the list prices this project ships with.

    python -m scripts.build_list_prices [INPUT_DIR] [--output FILE] [--check]

INPUT_DIR, ``scripts/price_inputs`` by default, holds what is known (see its ``NOTICE.md``):

- extracts of two MIT-licensed packages, one rate a row, made by ``scripts.extract_prices``:
  ``litellm_bedrock.csv.gz``, ``litellm_1.98.0_bedrock.csv.gz`` (which still lists models that were
  retired since) and ``genai_prices_bedrock.csv.gz``
- ``regional_2026-11.csv``: prices by region that neither package has
- ``rules.csv``: what the packages do not say about a vendor's prices

Same input, same bytes. ``--check`` writes nothing and fails if the file would change; ``make lint``
runs it, so an edit of the result alone does not pass.

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
  States, which is written for ``US_REGIONS``. A region that no source has stays visibly unpriced
  instead of getting the US price: it would be 3 to 55 % too low for most models.
- ``*`` rows, the price in every commercial region, are the exception: for the vendors whose price
  is known to be one (rule ``same_everywhere``), unless a source has another price for some region
  outside the United States after all.
- A row of a profile outside the United States names no region: it gives a price where a rule
  ``regions_of_PROFILE`` says whose it is (litellm's ``eu.`` rows of Nova are Frankfurt's).
- GovCloud regions always get everything known about them, including from ``us-gov.`` rows. ``*``
  covers the commercial regions only and says nothing about GovCloud prices.

**Scope.** ``global`` comes only from ``global.`` rows, ``regional`` from all others. A global price
holds wherever the profile can be called, so its region is ``*``. Claude 4.5 and later, Nova 2 and
GPT-6 without a prefix carry the *global* price in litellm, 10 % low; a row that contradicts the
``us.`` row is skipped if it is the global price, and stops the build if not.

**Ids.** The entries of all ids of one model (``sql/seeds/model_aliases.csv``) are read as one. A
price of the model is looked up under each of them.

**Zeros.** An embedding's output (0) and Nova's cache writes (0 in the AWS Price List) are real
prices. The zero token prices of rerankers are not: rerankers are billed per search, so these are
left out. Unknown prices have no row: a one-hour cache price or a batch price is never derived.

**Long context.** litellm's ``above_200k_tokens`` rate applies to the whole request, all kinds, when
its input is *more* than 200,000 tokens. So the row to use is the one with the largest
``min_input_tokens`` below the request's total input; 0 always applies.

**Cache writes.** ``cache_write_5m`` is a model's ordinary cache write, ``cache_write_30m`` that of
the vendors whose caches live 30 minutes (rule ``cache_write_30m``). A call does not say which.

**Text and speech.** The text rates of a model that also counts tokens of speech are ``text_input``
and ``text_output`` (rule ``text_tokens``): the plain counts of its calls may be either, at up to 57
times the price, and stay unpriced.

**Dates.** A rate that never changed starts at ``SINCE_LAUNCH``. genai-prices dates three price
cuts, which are used. litellm's own history is not: it mixes price changes with corrections and has
release numbers, but no dates.

**Corrections.** ``scripts/list_price_corrections.csv`` has one fact per line, with its reason. A
correction that no longer applies is an error:

- ``drop``: an entire litellm entry to ignore, named by its label in ``source``.
- ``global``: an entry without a prefix whose figures are the global price, named in the same way.
- ``move``: the days of a dated cut of a model: the old rate's ``effective_to``, the new one's
  ``effective_from``. Between them, there is no rate.
- ``gap``: days on which a model's rates in a region do not apply, from ``effective_from`` until
  ``effective_to``.
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
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from etl.normalise.listed_prices import (
    GENAI_KINDS,
    Item,
    is_on_demand_bedrock,
    parse_amount,
    parse_rate,
)
from etl.warehouse.price_file import COLUMNS, PriceRow, parse_row

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "sql" / "seeds" / "list_prices.csv"
# The list itself is never edited (DECISIONS 136).
CORRECTIONS = Path(__file__).with_name("list_price_corrections.csv")
INPUTS = Path(__file__).with_name("price_inputs")
ALIASES = OUTPUT.with_name("model_aliases.csv")
GENAI = "genai_prices_bedrock.csv.gz"
REGIONAL = "regional_2026-11.csv"

ACTIONS = ("drop", "global", "move", "gap", "end", "replace", "add")

SINCE_LAUNCH = "2023-01-01"
CHECKED_ON = "2026-11-29"

# Where litellm lists several of these for a model, they never differ. Northern California is not
# one of them: where a source has its price, it is higher.
US_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
GOV_REGIONS = ("us-gov-east-1", "us-gov-west-1")
GEO_OUTSIDE_US = ("eu", "apac", "jp", "au", "in", "ca")

# Bedrock models that litellm does not list. genai-prices names some models differently
# (claude-sonnet-5-v1:0), so these ids are chosen by hand.
GENAI_ONLY = {
    "amazon.nova-sonic-v1:0",
    "anthropic.claude-fable-5-2",
    "anthropic.claude-mythos-5-2",
}


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


class Rule(NamedTuple):
    """What is true of the prices of models whose id begins so; the longest beginning decides."""

    rule: str
    model_id_prefix: str
    value: str


class Knowledge(NamedTuple):
    """What the packages do not say: the rules, and for each other id of a model its own."""

    rules: list[Rule]
    aliases: dict[str, str]

    def rule(self, name: str, model_id: str) -> str:
        """Return the value of a rule for a model; empty if there is none."""
        found = [r for r in self.rules if r.rule == name and model_id.startswith(r.model_id_prefix)]
        return max(found, key=lambda r: len(r.model_id_prefix)).value if found else ""

    def holds(self, name: str, model_id: str) -> bool:
        return self.rule(name, model_id) == "yes"

    def model(self, model_id: str) -> str:
        return self.aliases.get(model_id, model_id)

    def item(self, model_id: str, item: Item) -> Item:
        """Return an item under the kind that this model's price has."""
        kind = item.token_kind
        if kind == "cache_write_5m" and self.holds("cache_write_30m", model_id):
            kind = "cache_write_30m"
        elif kind in ("input", "output") and self.holds("text_tokens", model_id):
            kind = f"text_{kind}"
        return item._replace(token_kind=kind)


def read_knowledge(input_dir: Path) -> Knowledge:
    rules = [
        Rule(row["rule"], row["model_id_prefix"], row["value"])
        for row in read_csv(input_dir / "rules.csv")
    ]
    return Knowledge(rules, {row["alias_id"]: row["model_id"] for row in read_csv(ALIASES)})


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


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file, compressed if its name says so."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# litellm


def read_litellm(path: Path, known: Knowledge) -> dict[str, Entry]:
    """Return the entries of one litellm release by name."""
    entries: dict[str, Entry] = {}
    for row in filter(is_on_demand_bedrock, read_csv(path)):
        label = f"{row['source']} {row['key']}"
        model_id = known.model(row["model"].rpartition("/")[2])
        new = Entry(label, model_id, row["endpoint"], row["region"], row["scope"], {})
        entry = entries.setdefault(row["key"], new)
        if rate := parse_rate(row):
            entry.sheet[known.item(model_id, rate[0])] = Price(rate[1], label)
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


def own_sheets(entries: list[Entry], known: Knowledge) -> dict[str, Sheet]:
    """Return the prices of single regions; an entry named after a region wins over a profile."""
    sheets: dict[str, Sheet] = {}
    for entry in sorted(entries, key=lambda e: e.region != ""):
        regions = [entry.region] if entry.region else []
        if entry.geo == "us-gov":
            regions = [*GOV_REGIONS]
        elif not entry.region:
            regions = known.rule(f"regions_of_{entry.geo}", entry.model_id).split()
        for region in regions:
            sheets[region] = sheets.get(region, {}) | entry.sheet
    return sheets


def is_known_to_differ(home: Sheet, entries: Iterable[Entry]) -> bool:
    """Return whether some commercial region outside the US is known to have another price."""
    return any(
        not agrees(home, entry.sheet)
        for entry in entries
        if entry.geo in GEO_OUTSIDE_US or (entry.region and not entry.region.startswith("us-"))
    )


# A region that no source has is unpriced (DECISIONS 14).
def regional_sheets(model_id: str, entries: list[Entry], known: Knowledge) -> dict[str, Sheet]:
    """Return the regional rates by region, ``*`` included; see the module's note on regions."""
    home, own = us_sheet(entries), own_sheets(entries, known)
    if not known.holds("same_everywhere", model_id) or is_known_to_differ(home, entries):
        return own | {region: home | own.get(region, {}) for region in US_REGIONS}
    for region in own.keys() - set(GOV_REGIONS):
        own[region] = {i: p for i, p in own[region].items() if i not in home or home[i][0] != p[0]}
    return own | {"*": home}


def sheet_rows(model_id: str, region: str, scope: str, sheet: Sheet) -> Iterator[PriceRow]:
    for item, price in sheet.items():
        usd, source = price
        yield PriceRow(model_id, region, scope, *item, usd, SINCE_LAUNCH, None, source, CHECKED_ON)


def litellm_rows(entries: Iterable[Entry], known: Knowledge) -> Iterator[PriceRow]:
    """Yield every current rate of every model."""
    models: dict[str, list[Entry]] = {}
    for entry in entries:
        models.setdefault(entry.model_id, []).append(entry)
    for model_id, group in models.items():
        yield from sheet_rows(model_id, "*", "global", global_sheet(group))
        for region, sheet in regional_sheets(model_id, group, known).items():
            yield from sheet_rows(model_id, region, "regional", sheet)


# Prices by region


def read_regional(path: Path) -> Iterator[PriceRow]:
    """Yield the rates of a file that has a model's prices in one region a row."""
    for row in read_csv(path):
        amounts = {
            kind: parse_amount(row[f"{kind}_usd_per_mtok"], scale=6)
            for kind in ("input", "output", "cache_read")
            if row[f"{kind}_usd_per_mtok"]
        }
        entry = Entry("", row["model_id"], "", row["region"], "in_region", {})
        for kind, amount in amounts.items():
            entry.sheet[Item("standard", kind, 0)] = Price(amount, row["source"])
        for one in sheet_rows(
            row["model_id"], row["region"], "regional", add_free_cache_writes(entry).sheet
        ):
            yield one._replace(checked_on=row["checked_on"])


# genai-prices


def read_genai(path: Path, known: Knowledge) -> list[Genai]:
    rates = []
    for row in read_csv(path):
        prefix, dot, rest = row["model_id"].partition(".")
        model_id = known.model(rest if prefix in ("global", "regional") else prefix + dot + rest)
        item = Item("standard", GENAI_KINDS[row["price_key"]], int(row["tier_start"]))
        rates.append(
            Genai(
                label=f"{row['source']} {row['model_id']}",
                model_id=model_id,
                scope="global" if prefix == "global" else "regional",
                item=known.item(model_id, item),
                usd_per_mtok=parse_amount(row["usd"], scale=6),
                since=row["effective_from"],
            )
        )
    return rates


def genai_only_rows(rates: Iterable[Genai], known: Knowledge) -> Iterator[PriceRow]:
    """Yield the rates of models that only genai-prices lists."""
    for rate in rates:
        if rate.model_id not in GENAI_ONLY:
            continue
        everywhere = rate.scope == "global" or known.holds("same_everywhere", rate.model_id)
        for region in ("*",) if everywhere else US_REGIONS:
            price = Price(rate.usd_per_mtok, rate.label)
            yield from sheet_rows(rate.model_id, region, rate.scope, {rate.item: price})


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


def mark_global(entries: Iterable[Entry], marks: Iterable[Correction]) -> Iterator[Entry]:
    """Yield the entries, those that a ``global`` names by label as ones of that profile."""
    labels = {mark.values["source"] for mark in marks}
    for entry in entries:
        named = entry.label in labels
        labels.discard(entry.label)
        yield entry._replace(geo="global") if named else entry
    if labels:
        raise ValueError(f"no entry to call global: {sorted(labels)}")


def move_cuts(rows: Iterable[PriceRow], moves: Iterable[Correction]) -> Iterator[PriceRow]:
    """Give a model's dated cut other days, and its rows the source of these days."""
    waiting = {move.values["model_id"]: move.values for move in moves}
    used = set()
    for row in rows:
        days = waiting.get(row.model_id)
        if days and (row.effective_to or row.effective_from != SINCE_LAUNCH):
            used.add(row.model_id)
            row = row._replace(source=f"{row.source}; {days['source']}")
            row = (
                row._replace(effective_to=days["effective_to"])
                if row.effective_to
                else row._replace(effective_from=days["effective_from"])
            )
        yield row
    if missing := waiting.keys() - used:
        raise ValueError(f"no cut to move: {sorted(missing)}")


def cut_gaps(rows: Iterable[PriceRow], gaps: Iterable[Correction]) -> Iterator[PriceRow]:
    """Take days out of the rates of a model in a region, which then start again after them."""
    waiting = {(gap.values["model_id"], gap.values["region"]): gap.values for gap in gaps}
    used = set()
    for row in rows:
        days = waiting.get((row.model_id, row.region))
        if days is None:
            yield row
            continue
        used.add((row.model_id, row.region))
        yield row._replace(effective_to=days["effective_from"])
        yield row._replace(effective_from=days["effective_to"])
    if missing := waiting.keys() - used:
        raise ValueError(f"no rates to take days from: {sorted(missing)}")


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

    known = read_knowledge(input_dir)
    old = read_litellm(input_dir / "litellm_1.98.0_bedrock.csv.gz", known)
    new = read_litellm(input_dir / "litellm_bedrock.csv.gz", known)
    rates = read_genai(input_dir / GENAI, known)
    entries = mark_global(drop_entries((old | new).values(), having("drop")), having("global"))
    rows = date_price_cuts(litellm_rows(map(add_free_cache_writes, entries), known), rates)
    rows = cut_gaps(move_cuts(rows, having("move")), having("gap"))
    rows = end_rows(chain(rows, genai_only_rows(rates, known)), having("end"))
    rows = chain(rows, read_regional(input_dir / REGIONAL))
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
    rates = read_genai(options.input_dir / GENAI, read_knowledge(options.input_dir))
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
