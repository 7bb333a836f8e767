-- Would usage cost what it cost if it were what it is? Each row is usage whose rates as
-- another choice are not those of its days.
with {{ what_if.usage() }},

{{ what_if.compared('itself') }}

select
    {{ columns.each(what_if.grain) }},
    cost_picodollars,
    other_picodollars
from compared
where
    abs(other_picodollars - coalesce(cost_picodollars, 0))
    -- What exceeds an integer is a floating-point number.
    > iif(typeof(other_picodollars) = 'real', 1e6, 0)
