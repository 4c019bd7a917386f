"""The transformer that fuses whatever modalities are there, its task heads, losses and weights."""
