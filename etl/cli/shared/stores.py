"""Which store reads a path or an s3:// address."""

from __future__ import annotations

from functools import cache

from etl.clock import Clock
from etl.config import Choice
from etl.sources.accounts import assume_role, home_region, open_own_account
from etl.sources.archive import Archive, LocalArchive, S3Archive
from etl.sources.aws import Account, Place
from etl.sources.s3 import S3Store
from etl.sources.stores import LocalStore, Store
from etl.sync.files import Root


def is_s3(path: str) -> bool:
    """Return whether a path is an address in S3."""
    return path.startswith("s3://")


class Stores:
    """The stores of a command. Credentials are resolved when the first address needs them."""

    def __init__(self, clock: Clock, profile: str | None, role_arn: str | None = None) -> None:
        self._clock, self._profile, self._role_arn = clock, profile, role_arn
        self._local = LocalStore()
        self._own: Account | None = None

    def store_of(self, path: str, role_arn: str | None = None) -> Store:
        """Return the store of a path; ``role_arn``: the role that reads it, if not the caller."""
        if not is_s3(path):
            return self._local
        return S3Store(self._place(role_arn or self._role_arn))

    def archive_of(self, path: str) -> Archive:
        """Return what writes files below a path."""
        return S3Archive(self._place(self._role_arn), path) if is_s3(path) else LocalArchive(path)

    def _place(self, role_arn: str | None) -> Place:
        account = self._own = self._own or open_own_account(self._profile, self._clock)
        if role_arn:
            account = assume_role(account, role_arn)
        return Place(account, home_region(account.session), self._clock)


@cache
def open_stores(profile: str | None, role_arn: str | None) -> Stores:
    """Return the stores of a process that was started for a part of the work."""
    return Stores(Clock(), profile, role_arn)


def open_roots(choice: Choice, clock: Clock) -> list[Root]:
    """Return the folders of the selected sources. Raises as ``Stores.store_of`` does."""
    stores = Stores(clock, choice.profile)
    return [
        Root(source.name, uri, stores.store_of(uri, role_arn))
        for source, uri, role_arn in choice.folders
    ]
