"""What only a server needs. Internal: the public names are in :mod:`sealframe`."""
