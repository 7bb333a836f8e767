"""Raw dicts in, flat rows out: no AWS, no SQLite, no clock.

``rows`` says what the rows are; every other module here makes them from one kind of input.
"""
