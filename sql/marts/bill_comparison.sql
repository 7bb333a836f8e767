-- What do the warehouse, CloudWatch and AWS's bill say of the same usage?
-- Grain: day x account x region x model, of the accounts and months of the bill in USD.
-- CloudWatch is NULL where it has no figures.
{{ bill.compared_units() }}
with compared as (
    {{ bill.compared(['month', 'day', 'payer_account_id', 'account_id', 'region', 'model_id']) }}
),

cloudwatch as (
    select
        daily.day,
        accounts.account_id,
        regions.region,
        models.model_id,
        sum(daily.cloudwatch_tokens) as cloudwatch_tokens
    from int_cloudwatch_daily as daily
    inner join accounts on accounts.account_key = daily.account_key
    inner join regions on regions.region_key = daily.region_key
    inner join int_bill_models as models on models.model_key = daily.model_key
    group by daily.day, accounts.account_id, regions.region, models.model_id
)

select
    compared.*,
    cloudwatch.cloudwatch_tokens
from compared
left join cloudwatch
    on
        cloudwatch.day = compared.day
        and cloudwatch.account_id = compared.account_id
        and cloudwatch.region = compared.region
        and cloudwatch.model_id = compared.model_id
