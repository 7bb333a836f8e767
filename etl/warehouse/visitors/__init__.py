"""SQL from visitors: what it may do, how much of it, and the processes that run it."""
