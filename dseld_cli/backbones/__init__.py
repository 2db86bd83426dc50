"""What turns images into features: pixels, or a pretrained network cut at its penultimate layer."""
