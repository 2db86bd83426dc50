"""The Locally Competitive Algorithm over a dictionary of exemplars: arrays in, arrays out; no files, no options.

Importing it loads NumPy alone: numba comes with the first large problem, torch with a GPU, or with AMX and many images.
"""
