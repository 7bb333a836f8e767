-- What did each caller use, from :first to before :last?
-- Grain: hour x caller x service tier x context size x variant x token source.
select
    usage.hour,
    {{ columns.each(rolled_up.caller) }},
    usage.service_tier,
    usage.min_input_tokens,
    usage.variant,
    usage.token_source_key,
    {{ columns.each(columns.known, 'coalesce(sum(usage.{0}), 0)') }}
{{ rolled_up.calls() }}
group by {{ range(1, rolled_up.caller | length + 6) | join(', ') }}
