"""The dictionary: what it consists of, its atoms, its Gramian."""
