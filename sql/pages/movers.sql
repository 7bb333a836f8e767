-- What changed between two periods, and why?
-- Grain: dimension x name, the largest differences first. :by is application, user,
-- team or model; NULL or blank gives all four. :since and :until are UTC days, both
-- included; by default the last seven that are over. :against is the first of the days
-- to compare with, :against_until the last; by default as many days just before.
-- :regions, :models, :users, :applications and :teams are exact names, in a JSON array
-- or separated by commas; NULL or blank is no filter. Units: USD, after less before;
-- tokens.
{{ movers.meaning() }}

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- Which days are over depends on everybody's usage, so with a list :until has no
-- default, and shared applications are not split, as in pages/usage.
with {{ filters.chosen_keys() }},

{{ movers.periods(
    until="nullif(:until, '')",
    since="nullif(:since, '')",
    against="nullif(:against, '')",
    against_until="nullif(:against_until, '')",
    is_allowed=filters.sees_all(),
) }},

{{ movers.of_periods(
    chosen=filters.of_keys('usage.'),
    splits='{}\n            and {}'.format(filters.sees_all(), filters.is_blank('users')),
    by="coalesce(:by, '')",
) }}
order by dimension, abs(difference_picodollars) desc, name
