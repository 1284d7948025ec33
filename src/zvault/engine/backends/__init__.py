"""What is mounted: one module per secret engine or auth method; each sees a view only."""
