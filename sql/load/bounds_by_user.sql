-- Between which amounts is the cost of each user on the days that changed?
-- Grain: row of priced_daily_by_user whose cost may be off.
{{ widths.of_names('user_key', widths.changed()) }}
