"""The gateway: who asks is found out here, once, and told to the services behind it."""
