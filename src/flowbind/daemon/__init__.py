"""Everything of a daemon that touches the outside: files, sockets, signals, the clock."""
