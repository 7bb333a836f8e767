"""The command ``bedrock-usage``, also as ``python -m etl``."""

from __future__ import annotations

import atexit
import os
import signal

from etl.errors import STOPPED


def main() -> None:
    """Run the command. A stop during start-up is handled like any later one."""
    signal.signal(signal.SIGTERM, _stop)
    # At exit the work is done and reported: a stop then must not turn it into a failure.
    atexit.register(_ignore_stops)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    # The import takes 0.1 s, during which KeyboardInterrupt would print a traceback.
    from etl.cli import main as command

    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command(prog_name="bedrock-usage")


def _ignore_stops() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _stop(*_: object) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(1)


if __name__ == "__main__":
    main()
