"""Long runs over connections that are cut: everything arrives once and in order.

``python -m soak`` runs one; a short one is among the ordinary tests.
"""
