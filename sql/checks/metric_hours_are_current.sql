-- Is metric_hourly what the loaded CloudWatch totals come to?
-- Each row is one that is missing, left over, or has another value.
with missing as (
    select
        hour,
        account_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        metric_kind,
        value
    from int_metric_hours
    except
    select
        hour,
        account_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        metric_kind,
        value
    from metric_hourly
),

left_over as (
    select
        hour,
        account_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        metric_kind,
        value
    from metric_hourly
    except
    select
        hour,
        account_key,
        region_key,
        endpoint,
        cloudwatch_model_id,
        metric_kind,
        value
    from int_metric_hours
)

select * from missing
union all
select * from left_over
