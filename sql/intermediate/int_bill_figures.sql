-- What did the warehouse know before the bill was known, of what the bill covers?
-- Grain: as int_our_figures, by month; without provisioned throughput, which is paid by
-- the hour. Where the bill does not have a day yet, or nothing of the account was known
-- on a day, the figures are those of now (is_current).

-- The cross join makes SQLite look up the days of `late`.
{% set usage_of_late %}
late
    cross join int_usage_daily as usage
        on usage.day = late.day and usage.account_key = late.account_key
{%- endset %}
with covered as materialized (
    select * from int_bill_covered
),

late as materialized (
    select distinct
        covered.month,
        covered.month_key,
        usage_daily.day,
        usage_daily.account_key
    from covered
    inner join usage_daily
        on
            usage_daily.day >= covered.month || '-01'
            and usage_daily.day <= covered.month || '-31'
            and usage_daily.account_key = covered.account_key
    where
        not exists (
            select 1 from figures_before_bill as kept
            where
                kept.month_key = covered.month_key
                and kept.day = usage_daily.day
                and kept.account_key = usage_daily.account_key
        )
),

current_figures as (
    {{ bill.figures(usage_of_late, 'month') }}
),

figures as (
    select
        covered.month,
        kept.day,
        kept.account_key,
        kept.rate_key,
        kept.user_key,
        kept.token_kind,
        kept.known,
        kept.estimated,
        kept.rate,
        kept.list_rate,
        0 as is_current
    from covered
    inner join figures_before_bill as kept
        on
            kept.month_key = covered.month_key
            and kept.account_key = covered.account_key
            -- Refunds and corrections may be dated in another month.
            and kept.day >= covered.month || '-01'
            and kept.day <= covered.month || '-31'
    union all
    select
        month,
        day,
        account_key,
        rate_key,
        user_key,
        token_kind,
        known,
        estimated,
        rate,
        list_rate,
        1 as is_current
    from current_figures
)

select figures.*
from figures
inner join rate_keys on rate_keys.rate_key = figures.rate_key
inner join int_models on int_models.model_key = rate_keys.model_key
where not int_models.is_provisioned
