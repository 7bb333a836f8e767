-- Which users and applications cost far more than usual?
-- Grain: as in the view cost_spikes, the latest first. Filters as in usage; any but
-- :since, :until and either :users or :applications leaves no rows, because it is told
-- of one user or application as a whole.

-- :_visitor_applications, :_visitor_teams: with a list there are no rows: what is usual
-- follows from everybody's usage.
select *
from cost_spikes
where
    {{ filters.sees_all() }}
    and {{ filters.days('substr(period_start, 1, 10)') }}
    and {{ filters.is_blank('regions') }}
    and {{ filters.is_blank('models') }}
    and {{ filters.is_blank('teams') }}
    and {{ filters.chosen('users', "iif(dimension = 'user', name, null)") }}
    and {{ filters.chosen(
        'applications',
        "iif(dimension = 'application', name, null)"
    ) }}
order by period_start desc, cost_usd desc, dimension, name
