"""The command line: parse, call, print. Data go to stdout, everything else to stderr.

Exit status: 0 done, 1 could not do all of it, 2 wrong usage.
"""

from etl.cli.main import main

__all__ = ["main"]
