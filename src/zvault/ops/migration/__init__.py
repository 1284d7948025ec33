"""Plan, journal, execute, steps."""
