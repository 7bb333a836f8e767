"""The work of ``sync``: new data first, then history while there is time.

- ``windows`` decides which time window a stream reads next. It uses neither AWS nor a clock.
- ``cloudtrail``, ``cloudwatch``, ``invocation_logs`` and ``catalogue`` each read one source of one
  account and region, ``files`` the folders; ``readers`` binds them to the registry.
- ``writer`` is the one thread that touches the database.
- ``run`` reads all places at once, round by round; ``schedule`` repeats that until stopped.
"""
