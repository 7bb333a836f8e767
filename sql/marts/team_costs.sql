-- How much does each team spend?
-- Grain: one row per team, over all loaded data. (no team): nothing names one.
-- (unattributed): no known call accounts for the usage. A shared application is split
-- by its fixed shares.
{{ costs.units(has_bounds=true) }}
{{ costs.totals('daily_costs_by_team', ['team'], has_bounds=true) }}
