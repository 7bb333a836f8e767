"""The errors a user may meet; each message says what failed and what to do next.

BedrockUsageError
├── RejectError          one piece of input could not be understood; the rest goes on
├── DataError            a whole input (a price file, a filter) makes no sense
├── DecodeError          a process that reads files has died; what was committed stands
├── ConfigError          the configuration file, or an option, cannot be used
├── WarehouseError       the database is missing, not ours, or too new
│   └── LockedError      another process synchronises this database
├── SourceError          AWS could not be read; what was read before is safe
│   ├── RetriableError   throttled, out of service, connection lost, a damaged answer: try again
│   ├── AccessError      denied, not signed in, a region that is not enabled: somebody must act
│   ├── TokenError       a page's token is no longer valid: ask again without it
│   └── FileGoneError    a file that was listed is no longer there
└── StoppedError         the user, or the system, asked the program to stop
"""


class BedrockUsageError(Exception):
    """Anything this program can explain. The command line prints it without a traceback."""


class RejectError(BedrockUsageError):
    """One input record is refused; the text goes to ``rejects`` and holds none of its body."""


class DataError(BedrockUsageError):
    """An input as a whole cannot be used."""


class DecodeError(BedrockUsageError):
    """Files cannot be read any more, for no fault of theirs."""


class ConfigError(BedrockUsageError):
    """The configuration file, or what options and file come to together, cannot be used."""


class WarehouseError(BedrockUsageError):
    """The database cannot be opened, read or written."""


class LockedError(WarehouseError):
    """Another process holds the lock of this database."""


class SourceError(BedrockUsageError):
    """AWS could not be read. Never raised itself: a caller wants to know which kind it is.

    ``code`` is AWS's word for it, ``date`` the ``Date`` of its answer, ``action`` the permission
    that AWS says is missing, ``request_id`` its id of the request; None where it gave none.
    ``is_undone``: AWS certainly did nothing, because it refused the request or never got it.
    """

    code: str | None = None
    action: str | None = None
    date: str | None = None
    request_id: str | None = None
    is_undone: bool = False


class RetriableError(SourceError):
    """It may work when tried again, as it is."""


class AccessError(SourceError):
    """It will not work before somebody changes something: the message says what."""


class TokenError(SourceError):
    """The token of a page has expired, or AWS no longer knows it."""


class TooOldError(AccessError):
    """AWS refuses the time that was asked for; usually it no longer keeps what lies there."""


class FileGoneError(SourceError):
    """A file was deleted between its listing and its reading."""


class StoppedError(BedrockUsageError):
    """Not a failure: work ends early, and everything committed stands."""
