"""Keys, identities, and the files that say whom to trust. Internal: the public names are
in :mod:`sealframe`.
"""
