"""Evaluation on test collections: metrics with intervals, re-rankers, answers, and what each costs (extra `eval`)."""
