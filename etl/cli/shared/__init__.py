"""What several commands share: options and their types, consent, progress, signals, and the work
that more than one of them does."""
