"""The warehouse: the only code that opens SQLite.

``database`` opens and migrates it, ``prices`` fills the price table, ``write`` stores rows and
keeps the rollups in step, ``read`` answers the reports, ``upkeep`` checks, upgrades and compacts,
and ``visitor_sql`` runs SQL written by visitors.
"""
