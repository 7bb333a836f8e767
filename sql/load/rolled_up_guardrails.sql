-- Which guardrails judged each caller's calls, from :first to before :last?
-- Grain: day x caller x what the guardrails charged, failed calls included.
select
    substr(usage.hour, 1, 10) as day,
    {{ columns.each(rolled_up.caller) }},
    usage.guardrail_use_key,
    sum(usage.calls + usage.failed_calls)
{{ rolled_up.calls() }}
    and usage.guardrail_use_key is not null
group by {{ range(1, rolled_up.caller | length + 3) | join(', ') }}
