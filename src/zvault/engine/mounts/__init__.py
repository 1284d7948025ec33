"""What is mounted where.

What lives here: the stored mount tables, mounting, tuning and moving, the router. What never does:
what a mounted backend answers (``backends/``).
"""
