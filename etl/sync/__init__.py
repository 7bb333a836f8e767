"""The work of ``sync``: new data first, then history while there is time.

- ``windows`` decides which time window a stream reads next. It uses neither AWS nor a clock.
- ``events``, ``totals`` and ``catalogue`` each read one source of one account and region.
- ``writer`` is the one thread that touches the database.
- ``run`` reads all places at once, round by round; ``schedule`` repeats that until stopped.
"""
