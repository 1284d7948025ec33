"""The search for secrets where none may be: files, archives, process arguments, environments."""
