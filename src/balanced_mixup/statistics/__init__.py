"""Statistics: intervals, paired tests."""
