"""What must be, what is, and what differs between the two."""
