"""Who, and which application, spends what on Amazon Bedrock.

Data flow one way: ``sources`` (raw dicts) -> ``normalise`` (flat rows) -> ``warehouse`` (SQLite)
-> the views in ``sql/`` -> the command line and Datasette. Imports go the same way.
"""
