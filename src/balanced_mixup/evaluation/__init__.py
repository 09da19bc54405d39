"""Evaluation: predictions, scores, comparison of runs, and whole experiments."""
