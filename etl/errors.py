"""The errors a user may meet; each message says what failed and what to do next.

BedrockUsageError
├── RejectError          one piece of input could not be understood; the rest goes on
├── DataError            a whole input (a price file, a filter) makes no sense
├── DecodeError          a process that reads files has died; what was committed stands
├── BusyError            more is asked at once than can be answered; a moment later it can
├── ConfigError          the configuration file, or an option, cannot be used
├── WarehouseError       the database is missing, not ours, or too new
│   └── LockedError      another process synchronises this database
├── SourceError          AWS could not be read; what was read before is safe
│   ├── RetriableError   throttled, out of service, connection lost, a damaged answer: try again
│   ├── AccessError      denied, not signed in, a region that is not enabled: somebody must act
│   ├── TokenError       a page's token is no longer valid: ask again without it
│   └── FileGoneError    a file that was listed is no longer there
├── OutputError          what was asked for cannot be written to stdout
└── StoppedError         the user, or the system, asked the program to stop
"""

from collections.abc import Sequence

# What is said of a stop, wherever it strikes.
STOPPED = "Stopped. What was committed is kept: run it again to go on from here."

TOO_DEEP = "nested too deeply"


class BedrockUsageError(Exception):
    """Anything this program can explain. The command line prints it without a traceback."""


class RejectError(BedrockUsageError):
    """One input record is refused; the text goes to ``rejects`` and holds none of its body."""


class DataError(BedrockUsageError):
    """An input as a whole cannot be used.

    ``details`` are more lines to show, ``line`` is where it is wrong, 0 for as a whole.
    """

    def __init__(self, message: str, details: Sequence[str] = (), line: int = 0) -> None:
        super().__init__(message)
        self.details, self.line = tuple(details), line


class DecodeError(BedrockUsageError):
    """Files cannot be read any more, for no fault of theirs."""


class BusyError(BedrockUsageError):
    """Too much is asked at once."""


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


class OutputError(BedrockUsageError):
    """What a command has to show cannot be written."""


class StoppedError(BedrockUsageError):
    """Not a failure: work ends early, and everything committed stands."""


def reason_of(error: Exception) -> str:
    """Say what went wrong with a record, in words that hold nothing of what was read."""
    if isinstance(error, RejectError):
        return str(error)
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, MemoryError):
        return "it takes more memory than a record may"
    return f"it cannot be understood ({type(error).__name__})"
