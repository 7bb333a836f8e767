"""From the bytes of a file to rows, fast.

``content`` decodes a whole file, ``fast_cloudtrail`` is its fast path for CloudTrail's files, and
``pool`` distributes files to several processes, each of which runs ``process``. ``etl.load.run``
and ``etl.sync`` supply the bytes and take the rows.
"""
