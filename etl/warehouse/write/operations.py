"""Write the operations that are no calls: see ``etl.normalise.operations``.

Of those that are not kept, only time and id are stored: each is counted once, however many copies
there are. The users of the others are those that the events name; the configuration's rules are for
calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sqlite_utils import Database

from etl.normalise.fields import NUL, SHOWN_NUL
from etl.normalise.packed import stored_id
from etl.normalise.rows import OtherOperation, SkippedOperation
from etl.warehouse.write.dimensions import Names
from etl.warehouse.write.shown_names import store_project

_COLUMNS = (
    *("event_time", "event_id", "account_key", "region_key", "operation_key", "principal_key"),
    *("session_key", "user_agent_key", "user_key", "provider_key", "source_address_key"),
    *("error_code_key", "resource"),
)
_SKIPPED = _COLUMNS[:5]


def write_operations(
    db: Database, names: Names, operations: Iterable[OtherOperation | SkippedOperation]
) -> tuple[Counter[str], int]:
    """Write operations; return how many new ones each has, and how many are not known yet.

    Those of the time that `vacuum` dropped are left out, like calls.
    """
    new, unknown = Counter[str](), 0
    (horizon,) = db.conn.execute("select max(dropped_before) from dropped_calls").fetchone()
    for operation in operations:
        if horizon and operation.event_time < horizon:
            continue
        if isinstance(operation, SkippedOperation):
            count = _insert(db, "skipped_operations", _SKIPPED, _skipped_row(names, operation))
        else:
            count = insert_operation(db, names, operation)
            unknown += 0 if operation.is_known else count
        new[operation.event_name] += count
    return +new, unknown


def insert_operation(db: Database, names: Names, operation: OtherOperation) -> int:
    """Insert an operation that is kept, whatever its time; return how many are new."""
    table = "control_events" if operation.is_known else "unknown_operations"
    return _insert(db, table, _COLUMNS, _row(names, operation))


def _insert(db: Database, table: str, columns: tuple[str, ...], row: tuple[object, ...]) -> int:
    return db.conn.execute(
        f"insert or ignore into {table} ({', '.join(columns)})"
        f" values ({', '.join('?' * len(columns))})",
        row,
    ).rowcount


def store_created_projects(
    db: Database, names: Names, operations: Iterable[OtherOperation | SkippedOperation]
) -> bool:
    """Store the projects that operations created; return whether they tell anything new."""
    known, is_new = names.forgotten, False
    for operation in operations:
        if isinstance(operation, SkippedOperation):
            continue
        if operation.project_name and operation.resource:
            tags = operation.project_tags and known.json(operation.project_tags)
            name = known.text(operation.project_name)
            is_new |= store_project(db, operation.resource, name, tags)
    return is_new


def _skipped_row(names: Names, operation: SkippedOperation) -> tuple[object, ...]:
    return (
        operation.event_time,
        stored_id(operation.event_id),
        names.account(operation.account_id),
        names.region(operation.region),
        names.operation(operation.event_source, operation.event_name),
    )


def _row(names: Names, operation: OtherOperation) -> tuple[object, ...]:
    known = names.forgotten
    user = operation.user_name
    # A forgotten user's session and address are replaced, whatever they are.
    replaced = known.pseudonym if known.is_forgotten(user) else known.text
    session, address = (
        None if name is None else replaced(name)
        for name in (operation.session_name, operation.source_address)
    )
    resource = known.text_or_none(operation.resource)
    return (
        operation.event_time,
        stored_id(operation.event_id),
        names.account(operation.account_id),
        names.region(operation.region),
        names.operation(operation.event_source, operation.event_name),
        names.principal(known.text(operation.principal_arn), operation.principal_type),
        names.session(session),
        names.user_agent(known.text_or_none(operation.user_agent)),
        names.user(known.text(user)),
        names.provider(operation.provider),
        names.source_address(address),
        names.error_code(operation.error_code),
        resource.replace(NUL, SHOWN_NUL) if resource else None,
    )
