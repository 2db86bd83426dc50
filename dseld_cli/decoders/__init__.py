"""Decoders: sparse codes (CSR) and the atoms' classes to a score per class. They know arrays only, no files.

`base` says what a decoder is, `registry` which there are; each is a file of its own.
"""
