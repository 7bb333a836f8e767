"""Rows and results as text: numbers, tables and reports, for the terminal and the pages alike."""
