"""What a stage is, as data."""
