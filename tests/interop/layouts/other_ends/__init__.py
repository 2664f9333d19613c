"""Programs of which each is one end of a connection, with somebody else's package."""
