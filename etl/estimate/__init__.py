"""Who used how many of the tokens that CloudWatch counted and no call reports: pure arithmetic.

Every bucket of time is an equation: its tokens are the sum over callers of calls x mean tokens per
call. ``lag`` moves calls to the buckets in which CloudWatch counts them, ``fit`` finds the means,
``held_out`` decides whether and how they are used, ``share`` gives each caller its part, and
``intervals`` says how far off that may be.

Arrays have a row for each bucket and a column for each caller. Nothing here knows of a database.
"""
