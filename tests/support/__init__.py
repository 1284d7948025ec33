"""What tests share: golden stores, real servers, stand-ins. One helper a module."""
