"""Benchmarks: whole acquisitions, timed beside their competitors."""
