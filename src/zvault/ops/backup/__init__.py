"""Take, verify, restore, prune."""
