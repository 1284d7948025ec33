"""What the demo says at its end: figures, table, JSON, picture."""
