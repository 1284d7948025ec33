"""The AppRole auth method: roles, secret_ids, logins."""
