"""The same promises asked of sealframe and of others; in examples/, run ``python -m compare``."""
