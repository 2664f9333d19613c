"""What only a client needs. Internal: the public names are in :mod:`sealframe`."""
