-- What did each day cost, in all, for each team and for each application?
-- Grain: dimension x name x day with usage, from :since on. Units: USD.
{{ forecasts.costs(["day >= :since"], ['day']) }}
