-- Who called for the first time, or with what nobody expects of them?
-- Grain: as in the view new_principals, the latest first. Filters as in usage; any but
-- :since, :until and :users leaves no rows, because it is told of callers alone.

-- :_visitor_applications, :_visitor_teams: with a list there are no rows: what is new
-- follows from everybody's calls.
select *
from new_principals
where
    {{ filters.sees_all() }}
    and {{ filters.days('substr(first_time, 1, 10)') }}
    and {{ filters.is_blank('regions') }}
    and {{ filters.is_blank('models') }}
    and {{ filters.is_blank('teams') }}
    and {{ filters.is_blank('applications') }}
    and {{ filters.chosen('users', 'user_name') }}
order by first_time desc, user_name, kind, value
