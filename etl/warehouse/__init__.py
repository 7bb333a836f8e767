"""The warehouse: the only code that opens SQLite.

``database`` opens and migrates, ``load`` writes, ``rollup`` keeps ``usage_hourly`` in step,
``prices`` fills the price table, ``read`` answers the reports.
"""
