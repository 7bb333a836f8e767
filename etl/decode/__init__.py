"""From the bytes of a file to rows, fast.

``content`` understands a whole file, ``trail`` is its short cut for CloudTrail's files, ``workers``
gives files to several processes. ``etl.load`` and ``etl.sync`` bring the bytes and take the rows.
"""
