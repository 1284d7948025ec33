"""HCL 1 text to values and back; pure."""
