"""params.yaml: what each key is, how it is read, edited, and set by presets."""
