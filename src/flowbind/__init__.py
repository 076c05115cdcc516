"""flowbind: Mobile IPv4 with flow bindings (RFC 5944, RFC 7629) for Linux."""
