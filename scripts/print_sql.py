"""Print the composed SQL of files in ``sql/``: python -m scripts.print_sql marts/user_costs ..."""

from __future__ import annotations

import sys

from etl.sql_files import sql_text

if __name__ == "__main__":
    print("\n".join(map(sql_text, sys.argv[1:])), end="")
