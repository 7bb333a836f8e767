"""Where a target's messages go: addresses from the environment, or from a file of its owner.

Addresses contain passwords and tokens. None is ever part of a message, an error, the output or the
warehouse, which only gets a keyed hash of those that have a message.
"""

from __future__ import annotations

import os
from pathlib import Path

from etl.config import Target
from etl.errors import BedrockUsageError


def addresses_of(target: Target) -> list[str]:
    """Return the addresses of a target in apprise's form, one for each line.

    Raises BedrockUsageError if there are none, or others may read their file.
    """
    if target.variable is not None:
        source = f"the environment variable {target.variable}"
        text = os.environ.get(target.variable, "")
    else:
        source, text = str(target.file), _read(Path(str(target.file)))
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found:
        raise BedrockUsageError(
            f"{source} has no address: set it to one that apprise understands, like"
            " mailtos://user:password@mail.example.com, one a line"
        )
    return list(dict.fromkeys(found))


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise BedrockUsageError(
                    f"{path}: other users can read it, and it contains secrets; chmod 600 it, and"
                    " change the passwords and tokens that others may have read"
                )
            return file.read()
    except OSError as error:
        raise BedrockUsageError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BedrockUsageError(f"{path}: it is not UTF-8 text") from None
