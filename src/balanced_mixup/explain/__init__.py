"""Where a classifier finds its evidence."""
