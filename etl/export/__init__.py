"""Files for other programs: usage, charges of teams, FOCUS and prices, a month at a time."""
