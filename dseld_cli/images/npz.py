"""Arrays in .npy and .npz files that strangers made: looked at before they are read, and read only if asked for.

No pickle is ever loaded. What an array takes in memory is known from its header, before anything is allocated; an
array that lies in its file uncompressed is mapped, not read, once its checksum has been compared.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dseld_cli.errors import UserError
from dseld_cli.runtime.text import line

Array = NDArray[Any]
PIECE = 2**20
LOCAL_HEADER = struct.Struct("<26xHH")
"""Of a member of a ZIP file: 26 bytes that the directory at its end repeats, and how long name and extra field are."""


@dataclass(frozen=True)
class _Header:
    """What a .npy header says: shape, order and type of the array, and where its values begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def size(self) -> int:
        """Bytes that the values take."""
        size = self.dtype.itemsize
        for side in self.shape:
            size *= side
        return size

    def mapped(self, path: Path, start: int) -> Array:
        """Map the values, which begin at `start` of a file."""
        order = "F" if self.fortran else "C"
        found: Array = np.memmap(path, self.dtype, "r", start + self.start, self.shape, order)  # type: ignore[call-overload]
        return found


def arrays(path: Path, wanted: Iterable[str], most: int) -> tuple[dict[str, Array], list[str]]:
    """Those of the wanted arrays that a .npz file has, and the names of all that it has.

    Raises:
        UserError: if it is no such file, a wanted array is damaged or holds objects, or the arrays that have to be
            inflated take more than `most` bytes.

    """
    _require_regular(path)
    with suppress(OSError), path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise UserError(f"{path} holds one array: --from-npy FEATURES LABELS reads a pair of those")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if twins := [name for name, count in Counter(names).items() if count > 1]:
                raise UserError(f"{path} has two arrays {line(twins[0], 80)}: save it again, with one of each name")
            found = {}
            for name in wanted:
                if name in names:
                    found[name], taken = _member(path, archive, archive.infolist()[names.index(name)], name, most)
                    most -= taken
    except UserError:
        raise
    except Exception as error:  # zipfile, its decompressors and NumPy raise many kinds
        raise _unreadable(path, ".npz", error) from None
    return found, names


def array(path: Path) -> Array:
    """Map the array of a .npy file.

    Raises:
        UserError: if it is no such file, is cut short, or holds objects.

    """
    _require_regular(path)
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                raise UserError(f"{path} is a .npz archive: --from-npz FILE reads those")
            file.seek(0)
            header = _header(file)
            if os.fstat(file.fileno()).st_size < header.start + header.size:
                raise ValueError("it is shorter than its header says")
        return header.mapped(path, 0)
    except UserError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, ".npy", error) from None


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, most: int) -> tuple[Array, int]:
    """Return one array of an archive, and how many bytes of memory it takes."""
    with archive.open(member) as file:
        header = _header(file)
        if header.start + header.size != member.file_size:
            raise ValueError(f"array {name} has {member.file_size} bytes, its header says {header.start + header.size}")
        if member.compress_type == zipfile.ZIP_STORED and header.size and header.shape:
            while file.read(PIECE):  # to the end, where it compares the checksum
                pass
            return header.mapped(path, _data_of(path, member)), 0
        if header.size > most:
            raise UserError(
                f"{path}: array {name} takes {header.size / 2**30:.2f} GiB, and run.memory leaves {most / 2**30:.2f}: "
                "raise it, or save the file uncompressed (numpy.savez), which is read piece by piece"
            )
        values = bytearray()
        while piece := file.read(PIECE):
            values += piece
            if len(values) > header.size:  # the directory may lie, too
                raise ValueError(f"array {name} is longer than its header says")
    order: Any = "F" if header.fortran else "C"
    return np.frombuffer(values, header.dtype).reshape(header.shape, order=order), header.size


def _header(file: IO[bytes]) -> _Header:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the .npy format is not read")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which may run code when they are read")
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return _Header(shape, fortran, dtype, file.tell())


def _data_of(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of an uncompressed member begin."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        name, extra = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
        return file.tell() + int(name) + int(extra)


def _require_regular(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no regular file, but a folder, a pipe, a socket or a device")


def _unreadable(path: Path, kind: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path} is not a readable {kind} file ({reason[:200]})")
