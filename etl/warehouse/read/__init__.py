"""What reports, pages, ``status`` and ``inspect`` ask of a warehouse."""
