"""Where raw data comes from. Each module reads one source and yields raw dicts, never rows."""
