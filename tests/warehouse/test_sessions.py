"""One person is one user, whether CloudTrail or an invocation log tells of the call, in any order."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.normalise.rules import ApplicationRule, UserRule
from etl.warehouse.upkeep.forget import forget
from etl.warehouse.upkeep.vacuum import drop_calls, drop_unused_names
from etl.warehouse.write.attribution import apply_config
from tests.checks import failed_checks
from tests.rounds import rounds
from tests.support import (
    ACCOUNT,
    call,
    load,
    logged,
    role_identity,
    rows,
    write_invocation_log,
    write_log,
)  # fmt: skip

NewWarehouse = Callable[[], AbstractContextManager[Database]]

USERS = "select user_name, sum(calls), sum(input_tokens) from usage_cost group by 1 order by 1"


def event(number: int, role: str, session: str, **context: Any) -> dict[str, Any]:
    return call(number, userIdentity=role_identity(role, session, **context))


def log(number: int, role: str, session: str) -> dict[str, Any]:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
    return logged(number, identity={"arn": arn})


def federated(provider: str) -> dict[str, Any]:
    return {"webIdFederationData": {"federatedProvider": provider}}


def load_each(db: Database, folder: Path, *records: dict[str, Any]) -> None:
    """Load records one after the other, each from a file of its own."""
    for record in records:
        write = write_log if "eventID" in record else write_invocation_log
        load(db, write(folder / "one.json", [record]))


def check(db: Database) -> None:
    assert failed_checks(db) == {}


@pytest.mark.parametrize(
    ("context", "session", "user"),
    [
        ({}, "vera@corp.example", "vera@corp.example"),
        (federated("id.corp.example"), "vera", "vera"),
        (federated("oidc.eks.eu-west-1.amazonaws.com/id/0F"), "vera", "lab"),
        ({"sourceIdentity": "vera"}, "botocore-session-1789380000", "vera"),
        ({}, "vera", "lab"),
    ],
)
@pytest.mark.parametrize("logs_first", [True, False])
def test_a_log_names_the_user_that_cloudtrail_names(
    db: Database,
    tmp_path: Path,
    context: dict[str, Any],
    session: str,
    user: str,
    logs_first: bool,
) -> None:
    # Calls 1 and 2 are in both, each of the others in one.
    events = [event(n, "lab", session, **context) for n in (1, 2, 3)]
    logs = [log(n, "lab", session) for n in (1, 2, 4, 5)]
    load_each(db, tmp_path, *(logs + events if logs_first else events + logs))
    assert rows(db, USERS) == [(user, 5, 400)]
    check(db)


def test_a_session_name_that_two_share_is_nobodys(db: Database, tmp_path: Path) -> None:
    load_each(db, tmp_path, log(1, "lab", "job"), event(2, "lab", "job", sourceIdentity="vera"))
    assert rows(db, USERS) == [("vera", 2, 100)]
    load_each(db, tmp_path, log(3, "lab", "job"), event(4, "lab", "job", sourceIdentity="kim"))
    assert rows(db, USERS) == [("kim", 1, None), ("lab", 2, 200), ("vera", 1, None)]
    load_each(db, tmp_path, log(5, "lab", "job"), log(6, "shop", "job"))
    assert dict(row[:2] for row in rows(db, USERS)) == {"kim": 1, "lab": 3, "vera": 1, "shop": 1}
    check(db)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_a_session_that_the_role_shares_with_a_person_is_the_roles(
    db: Database, tmp_path: Path, order: tuple[int, ...]
) -> None:
    """Most calls of a gateway have no source identity: its logs are not those of the one who has."""
    own = [event(n, "gateway", "job") for n in (1, 2, 3)]
    of_alice = [event(4, "gateway", "job", sourceIdentity="alice@corp.example")]
    parts = (own, of_alice, [log(n, "gateway", "job") for n in (5, 6)])
    load_each(db, tmp_path, *itertools.chain.from_iterable(parts[n] for n in order))
    assert [row[:2] for row in rows(db, USERS)] == [("alice@corp.example", 1), ("gateway", 5)]
    check(db)


PEOPLE = [
    event(1, "lab", "job", sourceIdentity="vera"),
    event(2, "lab", "job", sourceIdentity="vera"),
    event(3, "lab", "run", **federated("id.corp.example")),
    event(4, "lab", "run", sourceIdentity="kim"),
    event(5, "lab", "kim@corp.example"),
    event(6, "lab", "job", addendum={"originalEventID": "00000001-0000-4000-8000-000000000001"}),
    *(log(n, "lab", session) for n, session in ((1, "job"), (4, "run"), (11, "job"), (12, "run"))),
    log(13, "lab", "kim@corp.example"),
]  # fmt: skip
RULES = [
    UserRule(user="{who}@corp.example", session="{who}", provider="id.*"),
    ApplicationRule(application="Vera's", user="vera"),
    ApplicationRule(application="The lab's", user="lab"),
]


@settings(max_examples=rounds(6, 200))
@given(st.permutations(PEOPLE), st.integers(0, len(PEOPLE)), st.integers(1, 4))
def test_the_order_of_what_tells_of_people_does_not_matter(
    new_warehouse: NewWarehouse, records: list[dict[str, Any]], ruled_at: int, at_once: int
) -> None:
    with new_warehouse() as db, new_warehouse() as other:
        folder = Path(rows(db, "pragma database_list")[0][2]).parent
        load_each(db, folder, *records[:ruled_at])
        apply_config(db, RULES, {})
        load_each(db, folder, *records[ruled_at:])
        check(db)
        apply_config(other, RULES, {})
        for batch in (
            itertools.batched(PEOPLE, at_once) if hasattr(itertools, "batched") else [PEOPLE]
        ):
            for kind, write in ((True, write_log), (False, write_invocation_log)):
                part = [record for record in batch if ("eventID" in record) is kind]
                if part:
                    load(other, write(folder / "part.json", part))
        shown = "select * from {} order by 1, 2, 3, 4"
        for view in ("calls", "user_costs", "application_breakdown"):
            assert rows(db, shown.format(view)) == rows(other, shown.format(view)), view


def test_addresses_go_with_the_person_and_stay_away(db: Database, tmp_path: Path) -> None:
    def at(number: int, user: str, address: str) -> dict[str, Any]:
        return call(number, user=user, sourceIPAddress=address)

    addresses = "select source_address from int_call_origins order by event_id"
    load_each(db, tmp_path, at(1, "vera", "203.0.113.7"), at(2, "vera", "198.51.100.7"),
              at(3, "kim", "198.51.100.8"), at(4, "vera", "192.0.2.1") | {"eventName": "DreamModel"})  # fmt: skip
    forget(db, ["vera"])
    load_each(db, tmp_path, at(5, "vera", "203.0.113.9"), at(6, "kim", "203.0.113.9"))
    mine, shared, kims, again, now_kims = [address for (address,) in rows(db, addresses)]
    assert (shared, kims, now_kims) == ("198.51.100.0/24", "198.51.100.0/24", "203.0.113.0/24")
    assert mine == again != now_kims
    assert mine.startswith("forgotten-")
    ((unknown,),) = rows(db, "select source_address from int_other_operations")
    assert unknown.startswith("forgotten-")
    forget(db, ["203.0.113.0"])
    assert rows(db, addresses)[-1][0].startswith("forgotten-")


def test_the_logs_of_a_forgotten_person_stay_with_the_pseudonym(
    db: Database, tmp_path: Path
) -> None:
    told = event(1, "lab", "job-7", sourceIdentity="vera")
    load_each(db, tmp_path, told, log(2, "lab", "job-7"))
    forget(db, ["vera"])
    load_each(db, tmp_path, log(3, "lab", "job-7"), event(4, "lab", "job-7", sourceIdentity="vera"))
    ((user, calls, _),) = rows(db, USERS)
    assert user.startswith("forgotten-")
    assert calls == 4
    assert "job-7" not in {name for (name,) in rows(db, "select session_name from calls")}
    check(db)


def test_vacuum_drops_what_was_told_of_sessions_without_calls(db: Database, tmp_path: Path) -> None:
    load_each(
        db,
        tmp_path,
        event(1, "lab", "job", sourceIdentity="vera") | {"sourceIPAddress": "203.0.113.7"},
        call(2, eventName="ListFoundationModels"),
        call(3, eventTime="2026-11-20T00:00:00Z", eventName="DreamModel"),
    )
    drop_calls(db, "2026-11-10T00:00:00Z", dropped_at="2026-11-21T00:00:00Z")
    drop_unused_names(db)
    for table in ("session_users", "sessions", "control_events"):
        assert rows(db, f"select * from {table}") == [], table
    # A caller's first use of a network is kept, to tell which uses are new.
    assert rows(db, "select source_address from source_addresses") == [("203.0.113.0/24",)]
    load_each(db, tmp_path, call(4, eventName="ListFoundationModels"))
    assert rows(db, "select event_name from int_other_operations") == [("DreamModel",)]


def test_an_operation_that_is_not_known_is_no_call_and_is_never_lost(
    db: Database, tmp_path: Path
) -> None:
    dreams = [call(n, eventName="DreamModel", eventCategory="Data") for n in (1, 2)]
    path = write_log(
        tmp_path / "dreams.json", [*dreams, call(3), call(4, eventName="GetGuardrail")]
    )
    for _ in range(2):
        result = load(db, path)
    assert (result.events_skipped, result.written.operations_unknown) == (3, 0)
    assert rows(db, "select event_name from calls") == [("InvokeModel",)]
    assert rows(db, "select user_name, calls from user_costs") == [("alice", 1)]
    assert rows(db, "select event_name, event_count, user_count from operations_not_known") == [
        ("DreamModel", 2, 1)
    ]
    assert rows(db, "select * from security_events") == []
    check(db)
