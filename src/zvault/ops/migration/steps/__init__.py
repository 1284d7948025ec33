"""The steps of a migration, each a module of its own; they do not know each other."""
