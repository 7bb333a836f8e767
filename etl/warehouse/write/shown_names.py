"""Names to show instead of AWS's: of users by the configuration, of projects also by their tags.

They stand next to the name that AWS gives (``users.alias``, ``applications.label``), and views show
them: nothing else has to change with them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlite_utils import Database

from etl.normalise.application import APPLICATION_KEY, MANTLE_PROJECT, KeyNames
from etl.normalise.profiles import named_by
from etl.normalise.rules import Glob, filled, is_glob


class Aliases:
    """The aliases of the configuration. A name that is given in full counts before every glob.

    Globs count in their order; an alias may refer to parts of what a glob matched.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._globs = [(Glob(name), alias) for name, alias in aliases.items() if is_glob(name)]

    def of(self, user_name: str) -> str | None:
        """Return the alias of a user; None if it has none."""
        alias = self._aliases.get(user_name)
        if alias is not None:
            return alias
        for glob, alias in self._globs:
            captures = glob.captures(user_name)
            if captures is not None and (shown := filled(alias, captures)):
                return shown
        return None


def stored_aliases(db: Database) -> dict[str, str]:
    """Return the aliases of the configuration, in their order."""
    rows = db.conn.execute("select user_name, alias from user_aliases order by alias_number")
    return dict(rows)


def store_aliases(db: Database, aliases: Mapping[str, str]) -> int:
    """Replace the aliases; return how many users have another one now.

    A user with an alias of its own may be one that was not seen yet.
    """
    conn = db.conn
    conn.execute("delete from user_aliases")
    conn.executemany("insert into user_aliases (user_name, alias) values (?, ?)", aliases.items())
    conn.executemany(
        "insert or ignore into users (user_name) values (?)",
        [(name,) for name in aliases if not is_glob(name)],
    )
    shown = Aliases(aliases)
    users = conn.execute("select user_key, user_name, alias from users").fetchall()
    changed = [(new, key) for key, name, alias in users if (new := shown.of(name)) != alias]
    conn.executemany("update users set alias = ? where user_key = ?", changed)
    return len(changed)


def stored_project_names(db: Database) -> dict[str, str]:
    """Return the names that the configuration gives to projects, by ARN or id."""
    return dict(db.conn.execute("select project, application from project_names"))


def store_project_names(db: Database, names: Mapping[str, str]) -> None:
    """Replace the names of projects."""
    db.conn.execute("delete from project_names")
    db.conn.executemany("insert into project_names values (?, ?)", names.items())
    label_projects(db)


def name_projects_by_tags(db: Database, tag_keys: KeyNames) -> int:
    """Name projects by the first of these tags that they have; return how many changed."""
    rows = db.execute("select project, tags, application from projects where tags is not null")
    changed = [
        (named, project)
        for project, tags, application in rows.fetchall()
        if (named := named_by(json.loads(tags), tag_keys)) != application
    ]
    if changed:
        with db.atomic():
            db.conn.executemany("update projects set application = ? where project = ?", changed)
            label_projects(db)
    return len(changed)


def label_projects(db: Database) -> None:
    """Store the name to show for every project that is evidence."""
    rows = db.conn.execute(
        "select application_key, application, label from applications where application_source = ?",
        [MANTLE_PROJECT],
    ).fetchall()
    changed = [(new, key) for key, name, old in rows if (new := project_label(db, name)) != old]
    db.conn.executemany("update applications set label = ? where application_key = ?", changed)


def store_project(db: Database, project: str, name: str | None, tags: str | None) -> bool:
    """Store what AWS tells of a project; return whether it is new.

    The next command names it by the configured tags.
    """
    named = named_by(json.loads(tags), APPLICATION_KEY) if tags else None
    changed = db.conn.execute(
        "insert into projects (project, project_name, tags, application) values (?, ?, ?, ?)"
        " on conflict do update set project_name = excluded.project_name, tags = excluded.tags,"
        " application = coalesce(application, excluded.application)"
        " where (project_name, tags) is not (excluded.project_name, excluded.tags)",
        [project, name, tags, named],
    ).rowcount
    if changed:
        label_projects(db)
    return bool(changed)


def project_label(db: Database, project_id: str) -> str | None:
    """Return the name of a project: the configuration's, its tag's, its own; None for its id."""
    row = (
        db.conn.execute(
            "select application from project_names"
            " where project = ?1 or substr(project, -length(?1) - 1) = '/' || ?1"
            " order by project <> ?1, project limit 1",
            [project_id],
        ).fetchone()
        or db.conn.execute(
            "select coalesce(application, project_name) from projects"
            " where substr(project, -length(?1) - 1) = '/' || ?1 order by project limit 1",
            [project_id],
        ).fetchone()
    )
    return row[0] if row else None
