"""Load tests: many viewers of a relay, what each of them saw, and a verdict."""
