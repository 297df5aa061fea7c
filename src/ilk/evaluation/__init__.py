"""From embeddings and labels to figures with intervals."""
