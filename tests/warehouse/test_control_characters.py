"""Names may contain any character: each stays distinct, and the warehouse intact."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from etl.load.decoder.content import Decoder
from etl.normalise.fields import NUL, SHOWN_NUL
from etl.warehouse.upkeep.check import run_checks
from etl.warehouse.write.batch import Batch, Loader
from tests.rounds import rounds as count
from tests.support import call, role_identity, rows, user_identity

# Control characters, and other unusual ones; often NUL, which ends a text in C.
ODD = "\0\0\0\0" + "".join(map(chr, range(1, 32))) + "\x7f\x85\u200b\u202e\u2028\ufeff\ufffda'\""
NAME = st.text(st.sampled_from(ODD), max_size=3).map(lambda odd: f"n{odd}z")
RECORD = st.tuples(NAME, NAME, NAME, NAME, NAME, st.booleans())


@settings(max_examples=count(8, 1000))
@given(st.lists(RECORD, min_size=1, max_size=5))
def test_whatever_is_in_a_name_the_warehouse_is_sound_and_shows_it(
    new_warehouse: Callable[[], AbstractContextManager[Database]], names: list[tuple[str, ...]]
) -> None:
    records = [
        call(
            number,
            tokens=(10, 1),
            userIdentity=role_identity(user, session) if is_role else user_identity(user),
            userAgent=f"{agent}/1.0 ({agent})",
            requestParameters={"modelId": model, "requestMetadata": {"application": agent}},
            awsRegion=region,
            errorCode=None if number % 2 else session,
        )
        for number, (user, session, agent, model, region, is_role) in enumerate(names, 1)
    ]
    decoded = Decoder().decode(json.dumps({"Records": records}).encode())
    batch = Batch(calls=decoded.calls, shapes=decoded.shapes)
    with new_warehouse() as db:
        Loader(db).write(batch)
        found = [result for result in run_checks(db) if result.status != "ok"]
        assert found == []
        users = {user.strip().replace(NUL, SHOWN_NUL) for user, *_ in names}
        for view in ("calls", "user_costs", "usage_cost"):
            assert {user for (user,) in rows(db, f"select user_name from {view}")} == users, view
        regions = {region.strip().replace(NUL, SHOWN_NUL) for *_, region, _ in names}
        assert {r for (r,) in rows(db, "select distinct region from region_costs")} == regions


def test_ids_are_stored_without_a_nul(db: Database) -> None:
    record = call(1, eventID="a\0b", requestID="c\0d")
    decoded = Decoder().decode(json.dumps({"Records": [record]}).encode())
    Loader(db).write(Batch(calls=decoded.calls, shapes=decoded.shapes))
    assert rows(db, "select event_id, request_id, length(event_id) from calls") == [
        (f"a{SHOWN_NUL}b", f"c{SHOWN_NUL}d", 3)
    ]
