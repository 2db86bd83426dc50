"""The dictionary on neuromorphic hardware: integers as Loihi 2 computes them, binary spikes, and its size there."""

from importlib.resources import files


def script(name: str) -> str:
    """Read a script that runs an exported network in a foreign simulator; none is imported, as they need those."""
    return files(__name__).joinpath("scripts", name).read_text(encoding="utf-8")
