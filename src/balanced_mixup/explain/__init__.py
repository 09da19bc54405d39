"""Explanations: Grad-CAM maps and embeddings."""
