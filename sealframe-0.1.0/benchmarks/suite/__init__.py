"""Measures sealframe side by side with what one would use instead of it."""
