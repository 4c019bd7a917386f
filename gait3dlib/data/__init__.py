"""Data sets of walks: index, preparation, samplers and augmentation."""
