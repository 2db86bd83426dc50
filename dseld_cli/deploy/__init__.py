"""The dictionary on neuromorphic hardware: integers as Loihi 2 computes them, binary spikes, and its size there."""
