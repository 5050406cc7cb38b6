"""Encoders: sentence-transformers models as experts that also say how sure they are."""
