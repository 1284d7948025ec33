"""risk-engine: scores lots, knows which suppliers are blocked, tells who asked about a change."""
