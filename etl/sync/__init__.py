"""Order the work of ``sync``: what is new first, what is old while there is time.

- ``windows`` decides which stretch of time a stream reads next; it knows no AWS and no clock.
- ``events``, ``totals`` and ``catalogue`` read one source each of one account and region.
- ``writer`` is the one thread that touches the database.
- ``run`` reads all places at once, round by round; ``schedule`` repeats that for ever.
"""
