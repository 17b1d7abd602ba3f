"""Long runs that try to break safeh5; see README.md."""
