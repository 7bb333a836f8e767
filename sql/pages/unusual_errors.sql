-- Which failed calls, and which looks at the account, are like those with stolen keys?
-- Grain: as in the view suspicious_errors, the latest first. Filters as in usage; any
-- but :since, :until and :users leaves no rows, because it is told of callers alone.

-- :_visitor_applications, :_visitor_teams: with a list there are no rows: accounts are
-- everybody's.
select *
from suspicious_errors
where
    {{ filters.sees_all() }}
    and {{ filters.days('substr(hour, 1, 10)') }}
    and {{ filters.is_blank('regions') }}
    and {{ filters.is_blank('models') }}
    and {{ filters.is_blank('teams') }}
    and {{ filters.is_blank('applications') }}
    and {{ filters.chosen('users', 'user_name') }}
order by hour desc, user_name, kind
