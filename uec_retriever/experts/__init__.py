"""Experts: what turns texts into Gaussian embeddings."""
