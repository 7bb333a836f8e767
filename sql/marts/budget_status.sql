-- What of each budget is spent, and is it exceeded?
-- Grain: budget x name x period. The periods are those of now, UTC, and those that
-- ended within three days, because calls and estimates arrive late, or while usage
-- could not be read. name: with each_of, the application, user or team that has the
-- amount for itself; NULL: all together.
-- Units: USD; percent of the amount. A state is exceeded (counted_usd is above the
-- amount), cannot be judged (reason says why), warning (a threshold is reached) or ok.

-- The command `bedrock-usage budgets`, the pages and messages ask the same of a moment
-- of their own (sql/pages/budgets.sql).
{% set now = "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')" %}
with {{ budgets.states(now) }}

select
    {{ budgets.shown() }}
from states
