"""Every source is complete: anything it lacks is reported here by name."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from etl.config import Choice, Sources
from etl.doctor.checks import CHECKS
from etl.registry import NAMES, SOURCES, STANDARD, Source, source_of, sources_of
from etl.sync.options import SyncOptions
from etl.sync.readers import FOLDER_READERS, PLACE_READERS

DOCUMENTED = Path(__file__).parents[1] / "docs" / "bedrock_usage.toml"

asked = [source.name for source in SOURCES if source.grants]
in_folders = [source.name for source in SOURCES if "uri" in source.located_by]
located = [source.name for source in SOURCES if source.located_by]


def test_what_is_asked_of_accounts_has_a_reader_and_a_check() -> None:
    assert sorted(asked) == sorted(PLACE_READERS) == sorted(CHECKS)


def test_what_is_in_folders_has_a_reader_and_says_what_a_folder_holds() -> None:
    assert sorted(in_folders) == sorted(FOLDER_READERS)
    assert in_folders == [source.name for source in SOURCES if source.holds]


def test_every_source_is_read_somewhere() -> None:
    assert {*PLACE_READERS, *FOLDER_READERS} == set(NAMES)


def test_what_not_every_account_has_can_be_configured() -> None:
    assert list(Sources.__struct_fields__) == located
    text = DOCUMENTED.read_text()
    types = get_type_hints(Sources)
    for source in map(source_of, located):
        fields = get_args(types[source.name])[0].__struct_fields__
        needed = {*source.located_by, *({"role_arn"} if source.holds else ())}
        assert needed <= set(fields), source.name
        assert f"[sources.{source.name}]" in text
    assert f"#sources = {json.dumps(list(NAMES))}" in text


def test_what_a_place_is_asked_about_is_a_key_and_an_option_and_is_named_in_the_grant() -> None:
    for source in SOURCES:
        named = {
            name
            for grant in source.grants
            for _, name, _, _ in string.Formatter().parse(grant.resource)
            if name and name != "partition"
        }
        assert named == ({source.place_key} if source.place_key else set()), source.name
        if source.place_key:
            assert source.place_key in source.located_by
            assert source.place_key in SyncOptions.__dataclass_fields__


def test_names_of_sources_and_of_their_streams_are_unique() -> None:
    streams = [stream for source in SOURCES for stream in source.streams]
    assert len(streams) == len(set(streams))
    assert len({source.heading for source in SOURCES}) == len(SOURCES)


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_a_source_that_is_not_configured_is_neither_asked_nor_read(source: Source) -> None:
    choice = Choice((), (source.name,))
    is_asked = source.name in STANDARD or source.on_request
    assert choice.asked == ([source] if is_asked else [])
    assert (choice.folders, choice.place_settings) == ([], {})
    assert sources_of((source.name,)) == [source]
