"""Rows that replace those with the same key."""

from __future__ import annotations

from pathlib import Path

from etl.normalise.rows import FoundationModel
from etl.warehouse.database import open_warehouse
from etl.warehouse.write.batch import Batch, Loader
from etl.warehouse.write.replaced_rows import renew_rows
from tests.support import rows

ONE, OTHER = FoundationModel("a.one", "One", "A"), FoundationModel("a.other", None, "A")
STORED = "select * from foundation_models order by 1"


def test_only_what_is_new_or_changed_counts(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        assert renew_rows(db, "foundation_models", [ONE, OTHER]) == 2
        assert renew_rows(db, "foundation_models", [ONE, OTHER]) == 0
        changed = OTHER._replace(model_name="Other")
        assert renew_rows(db, "foundation_models", [ONE, changed]) == 1
        assert rows(db, STORED) == [tuple(ONE), tuple(changed)]
        assert renew_rows(db, "foundation_models", []) == 0


def test_a_table_of_keys_alone_keeps_them(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        db.execute("create table keys (model_id, model_name, provider_name,"
                   " primary key (model_id, model_name, provider_name))")  # fmt: skip
        assert [renew_rows(db, "keys", [ONE, ONE]) for _ in range(2)] == [1, 0]


def test_a_batch_renews_them_in_its_transaction(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "w.db", create=True) as db:
        batch = Batch(renewed={"foundation_models": [ONE, OTHER]})
        assert len(batch) == 2
        total = Loader(db).write(batch)
        total.add(Loader(db).write(batch))
        assert total.renewed == {"foundation_models": 2}
        assert len(rows(db, STORED)) == 2
