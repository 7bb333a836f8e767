-- What did each team use of each model in each five minutes?
-- Grain: 5-minute period x team x model (canonical), over all accounts and regions; the
-- column application has the team. Shared applications are not split. Parameters, units
-- and caveats: those of monitor_periods.
{{ periods.by('team') }}
