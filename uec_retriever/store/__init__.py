"""Store: means, texts and variances on Chroma, and the manifest that says what made them."""
