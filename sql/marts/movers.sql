-- What changed in the last seven days, against the seven before, and why?
-- Grain: dimension (application, user, team, model) x name. Both periods end with days
-- that are over. Units: USD, after less before; tokens.
{{ movers.meaning() }}
with {{ movers.periods() }},

{{ movers.of_periods() }}
