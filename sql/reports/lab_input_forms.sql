-- What input does each source report for these requests, and what is known of its form?
-- Grain: call x source. :request_ids is a JSON array; :first and :last are times, both
-- included. answer_form is the form of the same model's answers. Units: tokens as
-- reported.
with wanted as (
    select
        events.event_time,
        events.event_id,
        events.model_key,
        {{ ids.as_text('events.request_id') }} as request_id
    from events
    where events.event_time >= :first and events.event_time <= :last
),

reports as (
    select event_time, event_id, token_source_key, input_tokens
    from tokens
    where input_sources is null
    union
    select event_time, event_id, token_source_key, input_tokens
    from cloudtrail_tokens
    where input_sources is null
    union
    select event_time, event_id, token_source_key, input_tokens
    from token_reports
)

select
    wanted.request_id,
    int_models.canonical_model_id as model_id,
    token_sources.token_source,
    reports.input_tokens,
    forms.form,
    answers.form as answer_form
from wanted
inner join reports
    on reports.event_time = wanted.event_time and reports.event_id = wanted.event_id
inner join int_models on int_models.model_key = wanted.model_key
inner join token_sources
    on token_sources.token_source_key = reports.token_source_key
inner join int_input_forms as forms
    on
        forms.model_key = wanted.model_key
        and forms.token_source_key = reports.token_source_key
inner join int_input_forms as answers on answers.model_key = wanted.model_key
inner join token_sources as answer_sources
    on
        answer_sources.token_source_key = answers.token_source_key
        and answer_sources.token_source = 'invocation log body'
where
    wanted.request_id in (select value from json_each(:request_ids))
    and reports.input_tokens is not null
union all
-- CloudWatch's hours, where it counted these calls and no others.
select
    group_concat(wanted.request_id) as request_id,
    int_models.canonical_model_id as model_id,
    'CloudWatch' as token_source,
    totals.value as input_tokens,
    forms.form,
    answers.form as answer_form
from wanted
inner join int_models on int_models.model_key = wanted.model_key
inner join metric_hourly as totals
    on
        totals.hour = substr(wanted.event_time, 1, 13) || ':00:00Z'
        and totals.cloudwatch_model_id = int_models.cloudwatch_model_id
        and totals.metric_kind = '{{ columns.input_kind }}'
inner join int_input_forms as forms
    on forms.model_key = wanted.model_key and forms.token_source_key = -1
inner join int_input_forms as answers on answers.model_key = wanted.model_key
inner join token_sources as answer_sources
    on
        answer_sources.token_source_key = answers.token_source_key
        and answer_sources.token_source = 'invocation log body'
group by totals.hour, totals.account_key, totals.region_key, totals.cloudwatch_model_id
having
    sum(wanted.request_id in (select value from json_each(:request_ids))) = count(*)
    and count(*) = (
        select sum(calls.value)
        from metric_hourly as calls
        where
            calls.hour = totals.hour
            and calls.account_key = totals.account_key
            and calls.region_key = totals.region_key
            and calls.endpoint = totals.endpoint
            and calls.cloudwatch_model_id = totals.cloudwatch_model_id
            and calls.metric_kind = 'calls'
    )
