"""Warehouses that earlier versions made, and the files that they were made of.

``mNNN.db.xz`` is what ``load`` of the version whose last migration that was made of ``input/``, as
far as it could read it: m009 knows neither invocation logs nor jobs. Never made anew: the code that
made them is gone.
"""
