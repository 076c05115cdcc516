"""Mutation testing of what reads hostile octets; not part of the package."""
