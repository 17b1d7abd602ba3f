"""Helpers for tests of programs that use safeh5, and of safeh5 itself."""
