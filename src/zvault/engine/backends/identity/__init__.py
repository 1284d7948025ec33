"""``identity/``: one module a kind of thing; ``backend.py`` joins them."""
