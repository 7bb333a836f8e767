"""Warehouses made by earlier versions, and the files they were made from.

``mNNN.db.xz`` is the result of ``load`` on ``input/``, by the version with mNNN as its last
migration, as far as it could read the files: m009 knows neither invocation logs nor jobs. They
cannot be made again: the code that made them is gone.
"""
