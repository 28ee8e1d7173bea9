"""relay-top: what it shows, its screen, and what it does."""
