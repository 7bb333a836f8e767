-- What does the bill charge on the stale days, and what was known of the same?
-- Grain: as bill_cells.
{{ bill_cells.cells('stale_bill_days') }}
