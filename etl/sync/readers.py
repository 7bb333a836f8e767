"""The reader of each source in ``etl.registry``: for an account and region, or for a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from etl.sync.bill import sync_bill
from etl.sync.catalogue import sync_catalogue
from etl.sync.cloudtrail import EventStream
from etl.sync.cloudwatch import sync_totals
from etl.sync.files import Root, read_files_of
from etl.sync.invocation_logs import LogStream
from etl.sync.job import FilesJob, Job
from etl.sync.options import SyncOptions
from etl.sync.principal_tags import sync_principal_tags
from etl.sync.quotas import sync_quotas
from etl.sync.role_sessions import SessionStream


class History(Protocol):
    """What is left of a source once everything new was read."""

    def read_older(self, deadline: float) -> bool:
        """Read until ``deadline`` (monotonic seconds). Return whether anything is left."""


# Reads what is new. Returns what else there is to read, None for nothing.
PlaceReader = Callable[[Job, SyncOptions], History | None]

# Reads what is new, then history until a deadline. Returns whether anything is left.
FolderReader = Callable[[FilesJob, Root, SyncOptions, float], bool]

# In the order in which a place is read: calls first, because they name the profiles to look up and
# the models whose totals CloudWatch hides.
PLACE_READERS: Mapping[str, PlaceReader] = {
    "cloudtrail": EventStream.catch_up,
    "catalogue": sync_catalogue,
    "cloudwatch": sync_totals,
    "invocation_logs": LogStream.catch_up,
    "sessions": SessionStream.catch_up,
    "principal_tags": sync_principal_tags,
    "quotas": sync_quotas,
}

FOLDER_READERS: Mapping[str, FolderReader] = {
    "trail": read_files_of,
    "invocation_logs": read_files_of,
    "bill": sync_bill,
}
