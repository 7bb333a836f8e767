"""Store the shares of shared applications, as the views of teams look them up."""

from __future__ import annotations

from collections.abc import Sequence

from sqlite_utils import Database

from etl.normalise.team_shares import TeamShare
from etl.warehouse.pseudonyms import forgotten_in


def apply_team_shares(db: Database, shares: Sequence[TeamShare]) -> bool:
    """Replace the stored shares; return whether that changes anything. Views follow at once."""
    known = forgotten_in(db).text
    wanted = {
        (known(one.application), known(team), share)
        for one in shares
        for team, share in one.shares.items()
    }
    if wanted == set(db.conn.execute("select application, team, share from team_shares")):
        return False
    with db.atomic():
        db.execute("delete from team_shares")
        db.execute("delete from team_share_parts")
        db.conn.executemany("insert into team_shares values (?, ?, ?)", sorted(wanted))
        db.conn.executemany(
            "insert into team_share_parts values (?, ?, ?, ?)",
            [
                (known(one.application), known(team), rest, part)
                for one in shares
                for rest in range(one.total)
                for team, part in one.parts(rest).items()
            ],
        )
    return True
