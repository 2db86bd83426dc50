"""Bytes of chunks and of metadata, as zarr v3 has them (https://zarr-specs.readthedocs.io/en/latest/v3/core/).

Written out here rather than left to the zarr library, which every store can be opened with: so each file is read,
written and synchronised by a call of our own whose failure keeps its kind, and a command need not import zarr.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

from dseld_cli.store.chunks import Array, dtype_name, numpy_dtype
from dseld_cli.store.spec import Meaning, Spec

CHECKSUM = 4
"""Bytes of it, behind those of each chunk."""
FILL = {"f": np.nan, "i": -1, "s": ""}
"""Values that are never valid data, so that a missing chunk cannot pass for one; by a type's first letter."""


def metadata(spec: Spec, meaning: Meaning | None = None) -> dict[str, object]:
    """Content of an array's zarr.json; its attributes say what the array means."""
    text, endian = spec.dtype == "str", {} if spec.dtype.endswith("int8") else {"configuration": {"endian": "little"}}
    coded = {"name": "vlen-utf8", "configuration": {}} if text else {"name": "bytes", **endian}
    return {
        "shape": list(spec.shape),
        "data_type": "string" if text else spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": "NaN" if spec.dtype[0] == "f" else FILL[spec.dtype[0]],
        "codecs": [coded, {"name": "crc32c"}],
        "attributes": {"meaning": meaning.text, "unit": meaning.unit} if meaning else {},
        **({"dimension_names": list(meaning.words)} if meaning else {}),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def group(attributes: dict[str, Any]) -> dict[str, object]:
    """Content of a group's zarr.json."""
    return {"attributes": attributes, "zarr_format": 3, "node_type": "group"}


def size_of(spec: Spec) -> int | None:
    """Bytes of a chunk's file; None for text, of which that depends."""
    if spec.dtype == "str":
        return None
    return math.prod(spec.chunks) * int(numpy_dtype(spec.dtype).itemsize) + CHECKSUM


def as_bytes(content: object) -> bytes:
    """Write metadata out."""
    return json.dumps(content, indent=2).encode()


def write_json(file: Path, content: object) -> None:
    """Write metadata, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(file.name + ".aside")
    aside.write_bytes(as_bytes(content))
    aside.replace(file)


DESCRIPTIVE = ("attributes", "dimension_names")
"""Keys of an array's zarr.json that say nothing about its bytes."""


def words(content: Mapping[str, object]) -> dict[str, object]:
    """Take from an array's metadata what it says for people and other programs."""
    return {key: content[key] for key in DESCRIPTIVE if key in content}


def fits(found: object, spec: Spec) -> bool:
    """Whether metadata that was read describes an array of this spec in our coding."""
    if not isinstance(found, dict):
        return False
    there = {key: value for key, value in found.items() if key not in DESCRIPTIVE}
    return there == {key: value for key, value in metadata(spec).items() if key not in DESCRIPTIVE}


def encode(content: Array, chunks: tuple[int, ...]) -> tuple[memoryview, bytes]:
    """Code a chunk's content, which may be ragged at the array's end: its bytes (n,), and their checksum."""
    if content.shape != chunks:
        whole = np.full(chunks, FILL[dtype_name(content)[0]], content.dtype)
        whole[tuple(map(slice, content.shape))] = content
        content = whole
    data = _texts(content.reshape(-1)) if dtype_name(content) == "str" else _bytes(content)
    return data.data, _checksum(data)


def _bytes(content: Array) -> Array:
    return np.ascontiguousarray(content, content.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)


def _checksum(data: Array) -> bytes:
    fixed = data.view()
    fixed.flags.writeable = False  # google_crc32c takes nothing else without a copy
    return int(google_crc32c.value(fixed)).to_bytes(CHECKSUM, "little")


def decode(data: bytes, dtype: str, chunks: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Read a chunk back, cut to `shape`; it shares memory with `data`, so it cannot be written to.

    Raises:
        ValueError: if it is torn, or its checksum is another.

    """
    body = np.frombuffer(data, np.uint8)[:-CHECKSUM]
    if len(data) < CHECKSUM or _checksum(body) != data[-CHECKSUM:]:
        raise ValueError("its checksum is another")
    if dtype == "str":
        whole: Array = np.array(_split(body.tobytes()), dtype=np.dtypes.StringDType())
    else:
        whole = body.view(numpy_dtype(dtype).newbyteorder("<"))
    return whole.reshape(chunks)[tuple(map(slice, shape))]


def _texts(texts: Array) -> Array:
    parts = [struct.pack("<I", len(texts))]
    for text in texts:
        coded = str(text).encode()
        parts += [struct.pack("<I", len(coded)), coded]
    return np.frombuffer(b"".join(parts), np.uint8)


def _split(body: bytes) -> list[str]:
    n = int.from_bytes(body[:4], "little")
    found, at = [], 4
    if 4 * n > len(body):
        raise ValueError("it is torn")
    for _ in range(n):
        length = int.from_bytes(body[at : at + 4], "little")
        found.append(body[at + 4 : at + 4 + length].decode())
        at += 4 + length
    return found
