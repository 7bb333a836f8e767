"""From the bytes of a file to rows, fast.

``content`` understands a whole file, ``cloudtrail`` is its short cut for CloudTrail's files, and
``pool`` hands files to several processes, each of which runs ``process``. ``etl.load.run`` and
``etl.sync`` bring the bytes and take the rows.
"""
