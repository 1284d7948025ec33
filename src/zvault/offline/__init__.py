"""Read and prove a store without a server."""
