"""SQL from visitors: what it may do, its limits, and the processes that run it."""
