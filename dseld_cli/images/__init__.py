"""Labelled images: data sets, folders, files, and how they become arrays."""
