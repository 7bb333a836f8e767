-- Who called when, from :first to before :last?
-- Grain: hour x account x rate key x user x application x kinds that the calls lack.
{{ minutes.of_calls('usage.event_time >= :first and usage.event_time < :last') }}
