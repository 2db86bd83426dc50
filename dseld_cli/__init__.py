"""Exemplar-based sparse coding: the Dataset-Scalable Exemplar LCA-Decoder (D-SELD) as a command-line pipeline."""

__version__ = "0.1.0"
