"""What keeps a warehouse sound: checks, upgrades, dropping old calls, forgetting a person."""
