"""Queries on a warehouse for reports, pages, ``status`` and ``inspect``."""
