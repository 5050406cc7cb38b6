"""Texts on their way in: checks, records, corpora, calibration pairs, relevance judgements."""
