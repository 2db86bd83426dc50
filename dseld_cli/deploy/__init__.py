"""The dictionary on neuromorphic hardware: integers as Loihi 2 computes them, binary spikes, and its size there."""

from importlib.resources import files


def run_lava_script() -> str:
    """Read the script that runs an exported network in lava; it is not imported, as lava ends at Python 3.10."""
    return files(__name__).joinpath("scripts", "run_lava.py").read_text(encoding="utf-8")
