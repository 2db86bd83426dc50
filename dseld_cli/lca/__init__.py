"""The Locally Competitive Algorithm over a dictionary of exemplars. Knows tensors only: no files, no options."""
