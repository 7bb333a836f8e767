-- What was used each day, by kind of token, and at which rates?
-- Grain: day x account x rate key x user x kind of price. Units: tokens (or images and
-- so on); pico-dollars per token, NULL where there is no price.
{{ bill.figures('int_usage_daily as usage') }}
