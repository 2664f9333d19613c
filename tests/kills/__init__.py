"""Runs in which both programs of a session are killed: each reading is stored once and in order.

``python -m kills`` runs a long one; a short one is among the ordinary tests.
"""
