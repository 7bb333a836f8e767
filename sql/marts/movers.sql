-- What changed in the last seven days, against the seven before, and why?
-- Grain: dimension (application, user, team, model) x name. Both periods end with days
-- that are over. Units: USD, after less before. The four causes add up to the
-- difference, exactly in *_picodollars: volume (calls), size (tokens a call), mix (of
-- models, regions, tiers and kinds of token, such as cached ones) and price, each as the
-- step from before to after in this order. A name without calls before or after is all
-- volume. Estimates take part. What has no price, or no tokens, does not: a row is a
-- lower bound where is_lower_bound is 1.
with periods as materialized (
    {{ movers.latest_week() }}
),

{{ movers.of_periods() }}
