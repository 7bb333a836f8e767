"""Where raw data come from: one module a source, each yields raw dicts and knows no rows."""
