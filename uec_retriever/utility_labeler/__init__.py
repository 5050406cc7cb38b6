"""How useful a passage is to a language model: labels for training and evaluation (UAE, arXiv 2604.22722).

`labels` (the file format) and `questions` need neither torch nor transformers.
"""
