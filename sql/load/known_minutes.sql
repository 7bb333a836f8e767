-- Which tokens do calls report, from :first to before :last?
-- Grain: hour x account x rate key x token kind, where there are any.
{{ minutes.of_known_tokens('usage.event_time >= :first and usage.event_time < :last') }}
