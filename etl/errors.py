"""The errors a user may see; each message says what failed and what to do next.

BedrockUsageError
├── RejectError          one input record could not be understood; the rest is read
├── DataError            a whole input (a price file, a filter) cannot be used
├── DecodeError          a process that reads files has died; what was committed is kept
├── BusyError            too many requests at once; try again in a moment
├── ConfigError          the configuration file, or an option, cannot be used
├── WarehouseError       the database is missing, not ours, or too new
│   └── LockedError      another process synchronises this database
├── SourceError          AWS could not be read; what was read before is safe
│   ├── RetriableError   throttled, out of service, connection lost, damaged response: try again
│   ├── AccessError      denied, not signed in, region not enabled: the user must act
│   ├── TokenError       a page token is no longer valid: start again without it
│   └── FileGoneError    a file that was listed is no longer there
├── OutputError          the output cannot be written, to stdout or a file
└── StoppedError         the user or the system asked the program to stop
"""

from collections.abc import Sequence

# The message for a stop, wherever it happens.
STOPPED = "Stopped. What was committed is kept: run it again to continue from here."

TOO_DEEP = "nested too deeply"


class BedrockUsageError(Exception):
    """Any error this program can explain. The command line prints it without a traceback."""


class RejectError(BedrockUsageError):
    """One input record is refused; the message is stored in ``rejects`` and quotes none of it."""


class DataError(BedrockUsageError):
    """An input as a whole cannot be used.

    ``details`` are more lines to show; ``line`` is the wrong line, 0 if it is not one line.
    """

    def __init__(self, message: str, details: Sequence[str] = (), line: int = 0) -> None:
        super().__init__(message)
        self.details, self.line = tuple(details), line


class DecodeError(BedrockUsageError):
    """Files cannot be read any more, and not because of the files."""


class BusyError(BedrockUsageError):
    """Too many requests at once."""


class ConfigError(BedrockUsageError):
    """The configuration file, or its combination with the options, cannot be used."""


class WarehouseError(BedrockUsageError):
    """The database cannot be opened, read or written."""


class LockedError(WarehouseError):
    """Another process holds the lock of this database."""


class SourceError(BedrockUsageError):
    """AWS could not be read. Only subclasses are raised: callers need to know which kind it is.

    ``code`` is AWS's error code, ``date`` the ``Date`` of its response, ``action`` the permission
    that AWS says is missing, ``request_id`` AWS's id of the request; None if AWS gave none.
    ``is_undone``: AWS certainly did nothing, because it refused or never received the request.
    """

    code: str | None = None
    action: str | None = None
    date: str | None = None
    request_id: str | None = None
    is_undone: bool = False


class RetriableError(SourceError):
    """The same request may work when tried again."""


class AccessError(SourceError):
    """It will not work until something is changed: the message says what."""


class TokenError(SourceError):
    """A page token has expired, or AWS no longer recognises it."""


class TooOldError(AccessError):
    """AWS refuses the requested time, usually because it no longer keeps data that old."""


class FileGoneError(SourceError):
    """A file was deleted after it was listed and before it was read."""


class OutputError(BedrockUsageError):
    """A command's output cannot be written."""


class StoppedError(BedrockUsageError):
    """Not a failure: work ends early, and everything committed is kept."""


def reason_of(error: Exception) -> str:
    """Say what is wrong with a record, without quoting anything from it."""
    if isinstance(error, RejectError):
        return str(error)
    if isinstance(error, RecursionError):
        return TOO_DEEP
    if isinstance(error, MemoryError):
        return "it needs more memory than a record may use"
    return f"it cannot be understood ({type(error).__name__})"
