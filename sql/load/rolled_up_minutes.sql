-- When did each caller call, from :first to before :last?
-- Grain: hour x caller x rate x kinds that the calls lack x minute.
select
    usage.hour,
    {{ columns.each(rolled_up.caller) }},
    usage.service_tier,
    usage.min_input_tokens,
    usage.variant,
    {{ minutes.unknown_kinds() }} as unknown_kinds,
    {{ minutes.minute }} as minute,
    sum(usage.calls),
    coalesce(sum(usage.{{ columns.input_counts[0] }}), 0)
{{ rolled_up.calls() }}
    and usage.calls = 1
group by {{ range(1, rolled_up.caller | length + 7) | join(', ') }}
