"""The errors a user may meet; each message says what failed and what to do next.

BedrockUsageError
├── RejectError          one piece of input could not be understood; the rest goes on
├── DataError            a whole input (a price file, a filter) makes no sense
└── WarehouseError       the database is missing, locked, not ours, or too new
"""


class BedrockUsageError(Exception):
    """Anything this program can explain. The command line prints it without a traceback."""


class RejectError(BedrockUsageError):
    """One input record is refused; the text goes to ``rejects`` and holds none of its body."""


class DataError(BedrockUsageError):
    """An input as a whole cannot be used."""


class WarehouseError(BedrockUsageError):
    """The database cannot be opened, read or written."""
