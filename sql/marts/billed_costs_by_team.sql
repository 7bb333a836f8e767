-- What does AWS's bill charge for each team?
-- Grain: team x currency, over all months that were loaded. A shared application is
-- split by its fixed shares, as in team_costs.
{{ bill.units() }}
{{ bill.totals('team', 'int_bill_team_lines') }}
