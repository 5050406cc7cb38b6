"""Step 1, probabilistic embedding: a Laplace approximation over the last linear layer.

| paper / design | here |
|---|---|
| g (features of a text) | `features`, `[n, I]`, dense or sparse COO |
| z (embedding before L2 normalisation) | `embeddings`, `[n, D]` |
| gamma (gain between the layer and z) | `gain`, `[D]` or `[n, D]` |
| H (Hessian of the loss in z) | `hessian_*` |
| F, A, B | `fisher`, `feature_factor`, `output_factor` |
| N | `count` (texts that served as anchors) |
| lambda | `prior_precision` |
| tau | `tau` |
"""
