"""Forwarding of mobile nodes' packets."""
