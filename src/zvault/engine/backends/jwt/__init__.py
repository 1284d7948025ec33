"""Auth methods ``jwt`` and ``oidc``: one module a concern; ``backend.py`` joins them."""
