"""Load files into the warehouse as rows.

``decoder`` turns the bytes of a file into rows, ``batches`` groups them for the warehouse (``sync``
uses both), and ``run`` is the whole of ``load``.
"""
