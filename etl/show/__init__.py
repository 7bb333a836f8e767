"""Rows and results as text: numbers, tables, reports, the same in a terminal and on a page."""
