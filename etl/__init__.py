"""Who, and which application, spends what on Amazon Bedrock.

Data flow one way: ``sources`` (raw dicts) -> ``normalise`` (flat rows) -> ``warehouse`` (SQLite)
-> the views in ``sql/`` -> the command line and Datasette. Imports go the same way.
"""

import os

# Read when numpy is first imported, whoever does so: for matrices as small as ours, a second thread
# only makes the first one wait, ten times as long on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
