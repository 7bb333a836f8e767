-- Between which amounts is the cost of each application on the days that changed?
-- Grain: row of priced_daily_by_application whose cost may be off.
{{ widths.of_names('application_key', widths.changed()) }}
