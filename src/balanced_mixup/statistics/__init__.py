"""Statistics: bootstrap intervals and paired tests."""
