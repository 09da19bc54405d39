"""Training: from a recipe to the trained weights in a run folder."""
