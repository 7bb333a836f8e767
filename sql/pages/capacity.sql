-- How many hours of provisioned capacity are in no cost?
-- Grain: one row. NULL: none is known.

-- :_visitor_applications, :_visitor_teams: what the visitor may see, NULL for all.
-- With a list, there are no hours: capacity belongs to an account.
select
    sum(hours) as hours,
    sum(model_unit_hours) as model_unit_hours
from capacity_hours
where
    {{ filters.sees_all() }}
    and {{ filters.days() }}
    and {{ filters.chosen('regions', 'region') }}
    and (
        {{ filters.chosen('models', 'model_id') }}
        -- Calls to it are shown under its own id.
        or provisioned_model_arn in (
            select models.model_id from models
            where
                models.canonical_model_id in (
                    {{ filters.names('models') }}
                )
        )
    )
