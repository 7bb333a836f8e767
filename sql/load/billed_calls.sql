-- How many tokens did the calls have that lack a count, as the bill knows it?
-- Grain: account x CloudWatch model x token kind x user x application, of the days from
-- :first_day to :last_day. calls lack the kind; tokens are billed, less what other
-- calls of the user reported. Only where one answer is possible: the day is closed and
-- has no line without a user, the bill has what CloudWatch counted within 1 percent,
-- and all of the user's calls that lack the kind are of one application and CloudWatch
-- model.
with lines as materialized (
    select
        lines.day,
        lines.account_id,
        lines.region,
        lines.model_id,
        lines.user_name,
        {{ bill.counted_kind('lines.token_kind') }} as token_kind,
        sum(lines.billed_tokens) as tokens
    from int_bill_lines as lines
    inner join int_bill_covered as covered
        on
            covered.month = substr(lines.day, 1, 7)
            and covered.payer_account_id = lines.payer_account_id
            and covered.account_id = lines.account_id
    where
        lines.charge_kind = 'usage'
        and lines.day between :first_day and :last_day
        and lines.day <= covered.closed_until
    group by 1, 2, 3, 4, 5, 6
),

-- What the bill names for each account, rate key and CloudWatch model of ours.
places as materialized (
    select
        accounts.account_key,
        accounts.account_id,
        rate_keys.rate_key,
        regions.region_key,
        regions.region,
        models.model_key,
        models.model_id,
        series.endpoint,
        series.cloudwatch_model_id
    from accounts
    cross join rate_keys
    inner join regions on regions.region_key = rate_keys.region_key
    inner join int_bill_models as models on models.model_key = rate_keys.model_key
    left join int_rate_series as series
        on
            series.account_key = accounts.account_key
            and series.rate_key = rate_keys.rate_key
    where accounts.account_id in (select account_id from lines)
),

-- Days on which the bill and CloudWatch counted the same.
counted as materialized (
    select
        billed.day,
        billed.account_id,
        billed.region,
        billed.model_id,
        billed.token_kind
    from (
        select
            day,
            account_id,
            region,
            model_id,
            token_kind,
            sum(tokens) as tokens
        from lines
        group by 1, 2, 3, 4, 5
        having max(user_name = '(unknown)') = 0
    ) as billed
    inner join (
        select
            substr(totals.hour, 1, 10) as day,
            accounts.account_id,
            regions.region,
            models.model_id,
            totals.metric_kind as token_kind,
            sum(totals.value) as tokens
        from metric_hourly as totals
        inner join accounts on accounts.account_key = totals.account_key
        inner join regions on regions.region_key = totals.region_key
        inner join int_bill_models as models on models.model_key = totals.model_key
        where totals.hour between :first_day and :last_day || 'T24'
        group by 1, 2, 3, 4, 5
    ) as totals using (day, account_id, region, model_id, token_kind)
    where abs(billed.tokens - totals.tokens) <= totals.tokens / 100
),

kinds (token_kind) as (
    values
{% for kind in columns.kinds_of_tokens %}
    ('{{ kind.name }}'){{ ',' if not loop.last }}
{% endfor %}
),

lacking as (
    select
        usage.day,
        places.account_key,
        places.account_id,
        places.region_key,
        places.region,
        places.model_id,
        places.endpoint,
        places.cloudwatch_model_id,
        kinds.token_kind,
        users.user_name,
        usage.user_key,
        usage.application_key,
        sum({{ usage.unknown_calls_of('kinds.token_kind') }}) as calls
    from usage_daily as usage
    cross join kinds
    inner join places
        on
            places.account_key = usage.account_key
            and places.rate_key = usage.rate_key
    inner join stg_users as users on users.user_key = usage.user_key
    where
        usage.day between :first_day and :last_day
        and {{ usage.unknown_calls_of('kinds.token_kind') }} > 0
    group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
),

sole as (
    select
        *,
        count(*) over (
            partition by day, account_id, region, model_id, token_kind, user_name
        ) as callers
    from lacking
),

reported as (
    select
        figures.day,
        places.account_id,
        places.region,
        places.model_id,
        {{ bill.counted_kind('figures.token_kind') }} as token_kind,
        users.user_name,
        sum(figures.known) as tokens
    from int_our_figures as figures
    inner join places
        on
            places.account_key = figures.account_key
            and places.rate_key = figures.rate_key
    inner join stg_users as users on users.user_key = figures.user_key
    where figures.day between :first_day and :last_day
    group by 1, 2, 3, 4, 5, 6
)

select
    sole.account_key,
    sole.region_key,
    sole.endpoint,
    sole.cloudwatch_model_id,
    sole.token_kind,
    sole.user_key,
    sole.application_key,
    sum(sole.calls) as calls,
    sum(lines.tokens - coalesce(reported.tokens, 0)) as tokens
from sole
inner join lines using (day, account_id, region, model_id, token_kind, user_name)
inner join counted using (day, account_id, region, model_id, token_kind)
left join reported using (day, account_id, region, model_id, token_kind, user_name)
where
    sole.callers = 1
    and sole.cloudwatch_model_id is not null
    and lines.tokens >= coalesce(reported.tokens, 0)
group by 1, 2, 3, 4, 5, 6, 7
