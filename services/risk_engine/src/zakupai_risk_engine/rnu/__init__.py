"""The registry of unscrupulous suppliers (RNU): states, caches, subscriptions."""
