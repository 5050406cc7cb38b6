"""Confidence: signals of a search, the model that makes a probability of them, and its fit."""
