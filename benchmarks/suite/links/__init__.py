"""Long and narrow links between two processes of this machine, and what is measured on them."""
