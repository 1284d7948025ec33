"""Key to opaque bytes; never decrypts."""
