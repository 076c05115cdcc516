"""Octets that a fuzzer makes up, and what must hold of whatever flowbind makes of them."""
