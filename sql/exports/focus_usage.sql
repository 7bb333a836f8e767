-- What was used on the days of a month, by kind of token, and at which rates?
-- Grain: day x account x region x model x token kind x inference scope x tier x context
-- size x user x application x team x whether it is estimated x rates, from :first_day
-- to :last_day of :month. Units: tokens (or images and so on); pico-dollars per token,
-- NULL where there is no price. is_closed: the bill has the account's day for good.
-- billed_model_id: the id that the bill has for the model.
{% set of_month %}
(
        select * from int_usage_daily
        where day >= :first_day and day <= :last_day
    ) as usage
{%- endset %}
{% set keys = [
    'day',
    'account_id',
    'region',
    'billed_model_id',
    'token_kind',
    'inference_scope',
    'service_tier',
    'min_input_tokens',
    'user_name',
    'application',
    'team',
    'is_estimated',
    'model_id',
    'rate',
    'list_rate',
] %}
with closed as materialized (
    {{ bill.closed_accounts() }}
),

models as materialized (
    select * from int_bill_models
),

sizes as materialized (
    {{ bill.sizes() }}
),

figures as (
    {{ bill.figures(of_month, ['application_key']) }}
),

named as (
    select
        figures.day,
        accounts.account_id,
        names.region,
        models.model_id as billed_model_id,
        figures.token_kind,
        models.inference_scope,
        rate_keys.service_tier,
        sizes.min_input_tokens,
        users.user_name,
        names.application,
        names.team,
        parts.is_estimated,
        names.model_id,
        figures.rate,
        figures.list_rate,
        iif(parts.is_estimated, figures.estimated, figures.known) as amount,
        coalesce(figures.day <= closed.closed_until, false) as is_closed,
        coalesce(
            closed.payer_account_id,
            (
                select max(bill_accounts.payer_account_id) from bill_accounts
                where bill_accounts.account_id = accounts.account_id
            )
        ) as payer_account_id
    from figures
    cross join (
        select false as is_estimated
        union all
        select true as is_estimated
    ) as parts
    inner join accounts on accounts.account_key = figures.account_key
    inner join rate_keys on rate_keys.rate_key = figures.rate_key
    inner join models on models.model_key = rate_keys.model_key
    inner join sizes on sizes.rate_key = figures.rate_key
    inner join int_names as names
        on
            names.rate_key = figures.rate_key
            and names.application_key = figures.application_key
    inner join stg_users as users on users.user_key = figures.user_key
    left join closed on closed.account_key = figures.account_key
)

select
    {{ columns.each(keys) }},
    is_closed,
    payer_account_id,
    sum(amount) as amount
from named
where amount > 0
group by
    {{ columns.each(keys) }}
order by
    {{ columns.each(keys) }}
