"""Key file, password sources, agent."""
