-- What does the input of a call contain, and which row of input_forms says so?
-- Grain: source of the call's input and cached tokens, nearly always one. :event_key is
-- the event id as stored.
select
    token_sources.token_source,
    forms.form,
    forms.family,
    forms.source,
    forms.checked_on
from tokens
inner join events
    on events.event_time = tokens.event_time and events.event_id = tokens.event_id
inner join token_sources
    on
        token_sources.token_source_key > 0
        and (
            coalesce(tokens.input_sources, 1 << tokens.token_source_key)
            >> token_sources.token_source_key
        ) & 1
inner join int_input_forms as forms
    on
        forms.model_key = events.model_key
        and forms.token_source_key = token_sources.token_source_key
where tokens.event_time = :event_time and tokens.event_id = :event_key
order by token_sources.token_source
