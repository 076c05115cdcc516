"""Security associations, authenticators and replay protection."""
