"""Raw dicts in, flat rows out: no AWS, no SQLite, no clock.

``rows`` defines the rows. Every other module here makes them from one kind of input.
"""
