"""The tables of token kinds and token sources, and everything that must match them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.cli.prices import import_command
from etl.normalise import token_kinds, token_sources
from etl.normalise.packed import token_columns, tokens_of
from etl.normalise.rows import Tokens
from etl.normalise.token_kinds import COUNTS, KINDS, counts_of

COUNT = st.none() | st.integers(0, 2**62)


def test_stored_keys_are_for_ever(db: Database) -> None:
    """Warehouses store these numbers: changing this test relabels every stored call."""
    assert token_sources.KEYS == {
        "invocation log": 1,
        "additionalEventData": 2,
        "AwsServiceEvent": 3,
        "responseElements.usage": 4,
        "responseElements": 5,
        "invocation log body": 6,
        "invocation log body (OpenAI)": 7,
    }
    table = {*token_sources.TOKEN_SOURCES, token_sources.NO_TOKENS, token_sources.ESTIMATED}
    assert table == set(db.execute("select * from token_sources"))


def test_trust_is_the_order_of_the_table_and_not_of_the_keys() -> None:
    names = [source.name for source in token_sources.TOKEN_SOURCES]
    assert sorted(sorted(names), key=token_sources.rank_of) == names


@given(
    st.builds(
        Tokens,
        st.sampled_from([*token_sources.KEYS]),
        *[COUNT] * len(COUNTS),
        st.none(),
        st.none() | st.integers(1, 255),
    )
)
def test_tokens_are_what_they_were(tokens: Tokens) -> None:
    stored = token_columns(tokens)
    assert tokens_of(stored) == tokens
    assert tokens_of(stored[:3]) == Tokens(tokens.source, tokens.input, tokens.output)
    assert tokens_of(token_columns(None)) is None


def test_each_count_has_a_field_in_its_place() -> None:
    fields = dict(zip(Tokens._fields[1:-3], COUNTS, strict=True))
    assert [field for field, count in fields.items() if not field.startswith(count.price)] == []
    told = {"input": 1, "output": 2, "cache_read": 3, "cache_write": 4, "image": 6, "search": 7}
    assert counts_of(told)[:7] == (1, 2, 3, 4, None, 6, 7)


COLUMNS = {
    "tokens": token_kinds.STORED_COLUMNS,
    "cloudtrail_tokens": token_kinds.STORED_COLUMNS,
    "token_reports": token_kinds.STORED_COLUMNS,
    "corrections": token_kinds.STORED_COLUMNS,
    "pending_tokens": token_kinds.STORED_COLUMNS,
    **dict.fromkeys(
        ("usage_hourly", "usage_daily"),
        (*token_kinds.COUNT_COLUMNS, *token_kinds.UNKNOWN_CALLS, *token_kinds.ESTIMATES),
    ),
    "priced_rates": (*token_kinds.RATES, *token_kinds.LIST_RATES),
}


def test_every_table_has_a_column_for_each_kind(db: Database) -> None:
    priced = {name: token_kinds.SHOWN for name in db.table_names() if "priced_daily" in name}
    assert priced
    lacking = {
        table: set(columns) - {column.name for column in db[table].columns}
        for table, columns in (COLUMNS | priced).items()
    }
    assert {table: columns for table, columns in lacking.items() if columns} == {}


def test_no_name_belongs_to_two_kinds() -> None:
    for names in (
        [kind.name for kind in KINDS],
        [kind.shown for kind in KINDS],
        [count.column for count in COUNTS],
        [count.price for count in COUNTS],
        [kind.heading for kind in KINDS],
        [kind.estimate for kind in KINDS],
        [kind.log for kind in KINDS if kind.log],
        [name for kind in KINDS for name in kind.cloudtrail],
        [name for kind in KINDS for name in kind.body],
        [name for kind in KINDS for name in kind.openai],
        [metric for kind in KINDS for metric in (*kind.metrics, *kind.mantle_metrics)],
    ):
        assert len(names) == len(set(names)), names


def test_the_help_of_an_import_names_every_kind_that_has_a_price() -> None:
    help_of_kinds = re.search(
        r"token_kind\W+(.*?)min_input_tokens", import_command.help or "", re.S
    )
    assert help_of_kinds
    assert set(token_kinds.PRICE_KINDS) <= set(re.findall(r"\w+", help_of_kinds[1]))
