"""The operation set and its codec."""
