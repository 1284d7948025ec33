"""The userpass auth method: users and their passwords."""
