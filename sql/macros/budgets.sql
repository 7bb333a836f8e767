-- The state of budgets at a moment.

{% import 'macros/columns' as columns %}
{% import 'macros/filters' as filters %}

-- The conditions of a budget: the column with its names, that of daily costs, a word.
{% set conditions = [
    ('users', 'user_name', 'user'),
    ('applications', 'application', 'application'),
    ('teams', 'team', 'team'),
    ('models', 'model_id', 'model'),
    ('regions', 'region', 'region'),
    ('accounts', 'account_id', 'account'),
] %}

-- The daily costs that can tell a budget's cost, and which names they have.
{% set daily_costs = {
    'daily_costs_by_model': [],
    'daily_costs_by_application': ['application'],
    'daily_costs_by_user': ['user'],
    'daily_costs_by_user_and_application': ['user', 'application'],
    'daily_costs_by_team': ['application', 'team'],
} %}

-- Which of them tells a budget's cost.
{% macro source() %}
case
    when teams is not null or each_of = 'team' then 'daily_costs_by_team'
    when
        (users is not null or each_of = 'user')
        and (applications is not null or each_of = 'application')
        then 'daily_costs_by_user_and_application'
    when users is not null or each_of = 'user' then 'daily_costs_by_user'
    when applications is not null or each_of = 'application'
        then 'daily_costs_by_application'
    else 'daily_costs_by_model'
end
{% endmacro %}

-- Calls may arrive days late, and estimates change for as long: periods that ended
-- within three days are judged too. So are those that ended while usage could not be
-- read, if that is no more than so many days ago.
{% set earliest = 31 %}

{% macro periods() %}
select
    budgets.*,
    moment.last_loaded,
    moment.hides_reading,
    date(now, '-1 day') as yesterday,
    max(
        date(now, '-{{ earliest }} days'),
        date(min(now, coalesce(budgets.judged_to, now)), '-3 days')
    ) as judged_from,
    strftime('%Y-%m-%dT%H:%M:%SZ', now, '-1 day') as stale_before,
    date(now, '-6 hours') as hours_ago,
    max(days_back, weeks_back, months_back) = 0 as is_current,
    case
        when days is not null
            then date(now, '-' || (days - 1) || ' days')
        when per = 'day' then date(now, '-' || days_back || ' days')
        when per = 'week'
            then
                date(
                    now,
                    '-6 days',
                    'weekday 1',
                    '-' || (7 * weeks_back) || ' days'
                )
        else date(now, 'start of month', '-' || months_back || ' months')
    end as first_day,
    case
        when days is not null then date(now)
        when per = 'day' then date(now, '-' || days_back || ' days')
        when per = 'week'
            then
                date(
                    now,
                    '-6 days',
                    'weekday 1',
                    '-' || (7 * weeks_back) || ' days',
                    '+6 days'
                )
        else
            date(
                now,
                'start of month',
                '-' || months_back || ' months',
                '+1 month',
                '-1 day'
            )
    end as last_day,
    {{ source() }} as daily_costs
from budgets
cross join moment
cross join steps
where
    (per = 'day' or days_back = 0)
    and (per = 'week' or weeks_back = 0)
    and (per = 'month' or months_back = 0)
{% endmacro %}

-- What a cost leaves out is told by itself: here only estimates without an upper end
-- count as unknown. Over all callers, the total is CloudWatch's.
{% macro upper_end(daily_costs) %}
{% if daily_costs == 'daily_costs_by_model' -%}
costs.cost_picodollars
{%- else -%}
iif(
    costs.is_lower_bound,
    costs.cost_picodollars,
    costs.cost_high_picodollars
)
{%- endif %}
{% endmacro %}

{% macro spent(daily_costs, names) %}
select
    periods.budget_number,
    periods.first_day,
{% if names %}
    case periods.each_of
{% for name in names %}
        when '{{ name }}' then costs.{{ 'user_name' if name == 'user' else name }}
{% endfor %}
        else ''
    end as name,
{% else %}
    '' as name,
{% endif %}
    costs.day,
    costs.calls,
    costs.cost_picodollars,
    {{ upper_end(daily_costs) }} as upper_picodollars,
    costs.unpriced_calls,
    costs.unpriced_tokens,
    costs.calls_without_tokens,
    -- Those of yesterday and today may still get CloudWatch's.
    iif(costs.day < periods.yesterday, costs.calls_without_tokens, 0)
        as old_calls_without_tokens,
    coalesce(costs.actual_tokens, 0) + coalesce(costs.estimated_tokens, 0) as tokens
from periods
cross join {{ daily_costs }} as costs
where
    periods.daily_costs = '{{ daily_costs }}'
    and costs.day >= periods.first_day
    and costs.day <= periods.last_day
{% for column, name, word in conditions %}
{% if word in names or word in ('model', 'region', 'account') %}
    and (
        periods.{{ column }} is null
        or costs.{{ name }} in (select value from json_each(periods.{{ column }}))
    )
{% endif %}
{% endfor %}
{% endmacro %}

-- The costs of the days of a CTE periods, of all budgets.
{% macro all_spent() %}
{% for view, names in daily_costs.items() %}
{{ spent(view, names) }}
{% if not loop.last %}
union all
{% endif %}
{% endfor %}
{% endmacro %}

-- Whom a budget is for: each condition in words. The name stands for those that it is
-- one of, so that nobody learns of the others.
{% macro whom() %}
coalesce(
    nullif(
        substr(
{% for column, name, word in conditions %}
            case
{% if loop.index <= 3 %}
                when budgets.each_of = '{{ word }}' and budgets.name <> ''
                    then ', {{ word }} ' || budgets.name
                when budgets.each_of = '{{ word }}' then ', each {{ word }}'
{% endif %}
                when budgets.{{ column }} is not null
                    then
                        ', {{ word }} '
                        || (
                            select group_concat(value, ' or ')
                            from json_each(budgets.{{ column }})
                        )
                else ''
            end
{% if not loop.last %}
            ||
{% endif %}
{% endfor %}
            , 3
        ),
        ''
    ),
    'everything'
)
{% endmacro %}

-- Whether a budget is wholly of what the visitor may see, or the visitor's own. What a team pays of a shared
-- application tells of calls that are not the team's.
{% macro is_visible() %}
({{ filters.sees_all() }})
or budgets.only_user = :_visitor_user
or (
{% for kind, word in (('applications', 'application'), ('teams', 'team')) %}
    (
        :_visitor_{{ kind }} is null
        or iif(
            budgets.each_of = '{{ word }}',
            budgets.name in (
                select value from json_each(:_visitor_{{ kind }})
            ),
            coalesce(
                not exists (
                    select 1 from json_each(budgets.{{ kind }}) as own
                    where
                        own.value not in (
                            select value from json_each(:_visitor_{{ kind }})
                        )
                )
                and budgets.{{ kind }} is not null,
                false
            )
        )
    )
    and
{% endfor %}
    (
        budgets.daily_costs <> 'daily_costs_by_team'
        or not exists (select 1 from team_shares)
    )
)
{% endmacro %}

-- A sum of pico-dollars in whole micro-dollars, and what is left in pico-dollars:
-- together exact.
{% macro micro(column) %}
sum({{ column }} / 1000000)
+ sum({{ column }} % 1000000) / 1000000
{% endmacro %}

{% macro rest(column) -%}
sum({{ column }} % 1000000) % 1000000
{%- endmacro %}

-- Why a state cannot be told, as far as it is how AWS was read; blank if it can. Where
-- nothing is synced, all that is known is the last day loaded.
{% macro reading_problems() %}
substr(
    case
        when reads.read_at is null and budgets.last_loaded is null
            then '; nothing is loaded'
        when
            reads.read_at is null
            and budgets.last_loaded < min(budgets.first_day, budgets.yesterday)
            then
                '; nothing of this period is loaded, the last day is '
                || budgets.last_loaded
        when
            reads.read_at is null
            and budgets.last_loaded < min(budgets.yesterday, budgets.last_day)
            then '; nothing is loaded after ' || budgets.last_loaded
        -- A period that has only begun needs no sync of its own yet.
        when
            reads.read_at < budgets.first_day
            and (
                reads.read_at < budgets.stale_before
                or budgets.first_day <= budgets.hours_ago
            )
            then '; nothing was synced in this period, but at ' || reads.read_at
        when reads.read_at < min(budgets.stale_before, budgets.period_end)
            then '; the last sync is too old, it was at ' || reads.read_at
        else ''
    end
    || coalesce('; events are missing: ' || reads.missing, '')
    || iif(
        reads.begins > budgets.first_day,
        '; days before ' || reads.begins || ' were not read',
        ''
    )
    || iif(
        reads.failing > 0,
        printf(
            '; %,d source%s could not be read for more than a day',
            reads.failing,
            iif(reads.failing = 1, '', 's')
        ),
        ''
    ),
    3
)
{% endmacro %}

-- The same, as far as it is the usage.
{% macro usage_problems() %}
substr(
    ''
{% for number, problem in (
    ('budgets.unknown_calls', 'call%s without token data'),
    ('budgets.calls_lacking_price', 'call%s without a price'),
    ('budgets.tokens_lacking_price', 'token%s without a price'),
) %}
    || iif(
        {{ number }} > 0,
        printf(
            '; %,d {{ problem }}',
            {{ number }},
            iif({{ number }} = 1, '', 's')
        ),
        ''
    )
{% endfor %}
    || iif(
        budgets.counts_upper_end and not budgets.has_upper_end,
        '; how far off the estimates may be is not known',
        ''
    ),
    3
)
{% endmacro %}

{% macro reached(thresholds, hundredths) %}
(
    select max(value) from json_each({{ thresholds }})
    where {{ hundredths }} >= value * amount_microdollars
)
{% endmacro %}

-- now: a time, UTC text. is_visible: which rows to keep, by the columns of budgets.
-- hides_reading: whether how AWS is read must not be told, nor the last day loaded.
{% macro states(now, is_visible='true', hides_reading='false') %}
moment as materialized (
    select
        now,
        hides_reading,
        -- A clock that was wrong makes nothing fresh.
        iif(
            hides_reading,
            '',
            (select max(day) from usage_daily where day <= date(now))
        ) as last_loaded
    from (
        select
            {{ now }} as now,
            {{ hides_reading }}
                as hides_reading
    )
),

numbers as (
    select 0 as value
    union all
    select value + 1 as value from numbers
    where value < {{ earliest }}
),

-- How many days, weeks or months back a period is.
steps as (
    select
        value as days_back,
        0 as weeks_back,
        0 as months_back
    from numbers
    union all
    select
        0 as days_back,
        value as weeks_back,
        0 as months_back
    from numbers
    where value between 1 and {{ earliest // 7 + 1 }}
    union all
    select
        0 as days_back,
        0 as weeks_back,
        value as months_back
    from numbers
    where value between 1 and 2
),

all_periods as (
    {{ periods() }}
),

periods as materialized (
    select
        *,
        strftime('%Y-%m-%dT%H:%M:%SZ', last_day, '+1 day') as period_end
    from all_periods
    where is_current or last_day >= judged_from
),

-- Only what the budget's period and conditions select is read.
spent as (
    {{ all_spent() }}
),

summed as materialized (
    select
        budget_number,
        first_day,
        name,
        sum(calls) as calls,
        {{ micro('cost_picodollars') }}
            as cost_micro,
        {{ rest('cost_picodollars') }} as cost_rest,
        iif(
            max(upper_picodollars is null and cost_picodollars is not null),
            null,
            {{ micro('upper_picodollars') }}
        ) as upper_micro,
        {{ rest('upper_picodollars') }} as upper_rest,
        sum(unpriced_calls) as unpriced_calls,
        sum(unpriced_tokens) as unpriced_tokens,
        sum(tokens) as tokens,
        sum(calls_without_tokens) as calls_without_tokens,
        sum(old_calls_without_tokens) as old_calls_without_tokens
    from spent
    group by budget_number, first_day, name
),

-- Names that are listed, and budgets without any usage, have a state too.
named as (
    select
        budget_number,
        first_day,
        name
    from summed
    union
    select
        budget_number,
        first_day,
        ''
    from periods
    where
        each_of is null
        or (budget_number, first_day) not in (
            select
                budget_number,
                first_day
            from summed
        )
{% for column, name, word in conditions[:3] %}
    union
    select
        periods.budget_number,
        periods.first_day,
        listed.value
    from periods
    cross join json_each(periods.{{ column }}) as listed
    where periods.each_of = '{{ word }}'
{% endfor %}
),

-- A budget for each listed name has no state of its own.
wanted as (
    select * from named
    where
        name <> ''
        or (budget_number, first_day) not in (
            select
                budget_number,
                first_day
            from named
            where name <> ''
        )
),

budgets_named as materialized (
    select
        periods.*,
        wanted.name,
        coalesce(summed.calls, 0) as calls,
        coalesce(summed.cost_micro, 0) as cost_micro,
        coalesce(summed.cost_rest, 0) as cost_rest,
        summed.cost_micro is null
        and summed.unpriced_calls + summed.unpriced_tokens
        + summed.calls_without_tokens > 0
            as has_no_cost,
        iif(summed.calls is null, 0, summed.upper_micro) as upper_micro,
        summed.upper_micro is not null or summed.cost_micro is null as has_upper_end,
        coalesce(summed.upper_rest, 0) as upper_rest,
        coalesce(summed.unpriced_calls, 0) as unpriced_calls,
        coalesce(summed.unpriced_tokens, 0) as unpriced_tokens,
        (summed.unpriced_calls + summed.old_calls_without_tokens) * 100
        > periods.unknown_percent * summed.calls
        or summed.unpriced_tokens * 100 > periods.unknown_percent * summed.tokens
        or summed.cost_micro is null
            as leaves_out_much,
        coalesce(summed.calls_without_tokens, 0) as calls_without_tokens,
        coalesce(
            iif(
                summed.cost_micro is null,
                summed.calls_without_tokens,
                summed.old_calls_without_tokens
            ),
            0
        ) as old_calls_without_tokens,
        coalesce(
            summed.unpriced_calls + summed.unpriced_tokens
            + summed.calls_without_tokens,
            0
        ) as left_out
    from wanted
    inner join periods
        on
            periods.budget_number = wanted.budget_number
            and periods.first_day = wanted.first_day
    left join summed
        on
            summed.budget_number = wanted.budget_number
            and summed.first_day = wanted.first_day
            and summed.name = wanted.name
),

-- Streams of usage, and how far back each was read. Folders are in no account.
streams as materialized (
    select
        sync_state.stream,
        sync_state.source,
        sync_state.account_id,
        sync_state.region,
        sync_state.read_at,
        sync_state.error is not null as is_failing,
        coalesce(sync_state.watermark, sync_state.read_at, '') as read_to,
        iif(
            sync_state.watermark is null,
            null,
            date(coalesce(open.fetched_down_to, sync_state.covered_from))
        ) as begins
    from sync_state
    left join sync_windows as open
        on open.stream = sync_state.stream and open.kind = 'history'
    where
        sync_state.source in (
            {{ columns.each(sources, "'{}'") }}
        )
),

-- What of the streams a budget depends on.
reads as materialized (
    select
        periods.budget_number,
        periods.first_day,
        max(streams.read_at) as read_at,
        sum(
            streams.is_failing
            and streams.read_to < periods.stale_before
        ) as failing,
        -- A trail's files may go back further.
        iif(
            sum(streams.source in ('trail', 'invocation_logs')),
            null,
            max(iif(streams.source = 'cloudtrail', streams.begins, null))
        ) as begins,
        (
            select group_concat(days, ', ')
            from (
                select distinct
                    date(gaps.gap_start)
                    || iif(
                        date(gaps.gap_end) > date(gaps.gap_start),
                        ' to ' || date(gaps.gap_end),
                        ''
                    ) as days
                from sync_gaps as gaps
                inner join streams as holed on holed.stream = gaps.stream
                where
                    date(gaps.gap_start) <= periods.last_day
                    and date(gaps.gap_end) >= periods.first_day
                    and {{ concerns('holed') }}
                order by days
            )
        ) as missing
    from periods
    left join streams
        on {{ concerns('streams') }}
    group by periods.budget_number, periods.first_day
),

-- What of the usage is unknown, where it is more than the budget allows.
incomplete as (
    select
        *,
        iif(
            each_of = 'user',
            nullif(name, ''),
            (select iif(count(*) = 1, max(value), null) from json_each(users))
        ) as only_user,
        iif(leaves_out_much, old_calls_without_tokens, 0) as unknown_calls,
        iif(leaves_out_much, unpriced_calls, 0) as calls_lacking_price,
        iif(leaves_out_much, unpriced_tokens, 0) as tokens_lacking_price
    from budgets_named
),

judged as (
    select
        budgets.*,
        {{ whom() }} as whom,
        {{ reading_problems() }} as reading_problems,
        {{ usage_problems() }} as usage_problems,
        coalesce(reads.read_at, budgets.last_loaded, '') < budgets.first_day
            and budgets.calls = 0 as is_unknown,
        forecasts.forecast_microdollars,
        iif(budgets.counts_upper_end, budgets.upper_micro, budgets.cost_micro)
            as counted_micro,
        iif(budgets.counts_upper_end, budgets.upper_rest, budgets.cost_rest)
            as counted_rest
    from incomplete as budgets
    inner join reads
        on
            reads.budget_number = budgets.budget_number
            and reads.first_day = budgets.first_day
    left join budget_forecasts as forecasts
        on
            forecasts.budget = budgets.budget
            and forecasts.name = budgets.name
            and forecasts.period_start = budgets.first_day
    where
        {{ is_visible }}
),

-- What is certain counts, even if the upper end is not known.
counted as (
    select
        *,
        -- Restricted visitors do not learn how AWS is read.
        case
            when hides_reading and reading_problems <> ''
                then 'the figures are too old, or some are missing'
            else reading_problems
        end
        || iif(reading_problems <> '' and usage_problems <> '', '; ', '')
        || usage_problems as reason,
        coalesce(counted_micro, cost_micro) as micro,
        iif(counted_micro is null, cost_rest, counted_rest) as rest,
        coalesce(counted_micro, cost_micro) * 100
        + iif(counted_micro is null, cost_rest, counted_rest) / 10000 as hundredths
    from judged
),

states as (
    select
        *,
        {{ reached('thresholds', 'hundredths') }} as reached_percent,
        iif(
            is_current,
            {{ reached('forecast_thresholds', 'forecast_microdollars * 100') }},
            null
        ) as forecast_reached_percent,
        micro > amount_microdollars
        or (micro = amount_microdollars and rest > 0) as is_exceeded
    from counted
)
{% endmacro %}

-- Whether a stream may have calls of a budget.
{% macro concerns(stream) %}
(
    {{ stream }}.account_id = 'files'
    or (
        periods.accounts is null
        or {{ stream }}.account_id in (
            select value from json_each(periods.accounts)
        )
    )
    and (
        periods.regions is null
        or {{ stream }}.region in (
            select value from json_each(periods.regions)
        )
    )
)
{% endmacro %}

-- The streams of sync whose absence leaves out usage.
{% set sources = [
    'cloudtrail',
    'cloudwatch',
    'trail',
    'invocation_logs',
    'log_group',
] %}

{% macro shown() %}
budget,
nullif(name, '') as name,
each_of,
whom,
per,
first_day as period_start,
last_day as period_end,
is_current,
reading_problems = '' as is_read,
case
    when is_exceeded then 'exceeded'
    when reason <> '' then 'cannot be judged'
    when
        coalesce(reached_percent, forecast_reached_percent) is not null
        then 'warning'
    else 'ok'
end as state,
nullif(reason, '') as reason,
amount_microdollars / 1e6 as amount_usd,
iif(is_unknown or has_no_cost, null, round((cost_micro + cost_rest / 1e6) / 1e6, 9))
    as cost_usd,
iif(is_unknown or has_no_cost, null, round((micro + rest / 1e6) / 1e6, 9))
    as counted_usd,
iif(counts_upper_end, 'upper', 'expected') as estimates,
iif(
    is_unknown or has_no_cost,
    null,
    round(100.0 * micro / amount_microdollars, 1)
) as used_percent,
reached_percent,
forecast_microdollars / 1e6 as forecast_usd,
round(100.0 * forecast_microdollars / amount_microdollars, 1) as forecast_percent,
forecast_reached_percent,
left_out > 0 as is_lower_bound,
unpriced_calls,
unpriced_tokens,
calls_without_tokens,
amount_microdollars,
iif(is_unknown or has_no_cost, null, micro) as counted_microdollars,
thresholds,
forecast_thresholds,
forecast_microdollars,
only_user
{% endmacro %}
