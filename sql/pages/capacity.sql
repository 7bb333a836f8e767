-- How many hours of provisioned capacity are in no cost?
-- Grain: one row. NULL: none is known.

-- :_visitor_applications: those that the visitor may see, NULL for all. With a list,
-- there are no hours: capacity belongs to an account, not to an application.
select
    sum(hours) as hours,
    sum(model_unit_hours) as model_unit_hours
from capacity_hours
where
    :_visitor_applications is null
    and {{ filters.days() }}
    and {{ filters.chosen('regions', 'region') }}
