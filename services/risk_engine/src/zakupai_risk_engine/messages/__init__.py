"""Messages about changes: what is to be sent, and sending it."""
