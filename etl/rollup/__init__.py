"""Roll up logs where they are: the sums of calls by hour and caller, as files that can be loaded.

- ``job``: what is asked for; ``inputs``: which files that means, and what is known of them.
- ``decode``: files as rows, and which of these belong together.
- ``scratch``: counts rows in a small warehouse of their own, by the warehouse's own code.
- ``others``: keeps the callers of a day to a number.
- ``local`` and ``spark``: the two engines. Both do the same with the same code: one in this
  process, the other in many at once.
- ``output``: the files of the result, and the manifest that makes them valid; ``run``: all of it in
  order.

Nothing here knows what a call is or how it counts. So a rollup cannot differ from what ``load``
counts: whatever is known of one call gets into one warehouse, and what is added up afterwards are
whole numbers.
"""
