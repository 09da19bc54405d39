"""Runs: the run folder, its files and their formats."""
