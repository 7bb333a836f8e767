"""Files become rows in the warehouse.

``decoder`` turns the bytes of a file into rows, ``batches`` groups them for the warehouse (``sync``
uses both), and ``run`` does the whole of ``load``.
"""
