"""Octets to frozen messages and back; no keys, no state, no clock."""
