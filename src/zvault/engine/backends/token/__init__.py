"""``auth/token/``: one module a group of paths; ``backend.py`` joins them."""
