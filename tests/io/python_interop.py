"""The other side of python_interop_test.cpp: the same tensors through the formats' own Python packages.

python_interop.py write FOLDER   writes python.safetensors and python.npz
python_interop.py check FOLDER   checks cpp.safetensors and cpp.npz, which the test wrote
"""

import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import safetensors
from numpy.lib import format as npy_format
from safetensors.numpy import save_file

METADATA = {"text": "σ ≤ 80", "network": '{"channels": 128}'}
ARRAYS = {
    "float64_scalar": np.array(2.25),
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3) / 2,
    "float16": np.array([0.5, -2.0], dtype=np.float16),
    "int64": np.array([-1, 2**40]),
    "int32": np.array([-1, 2**30], dtype=np.int32),
    "int16": np.array([-300, 300], dtype=np.int16),
    "int8": np.array([-128, 127], dtype=np.int8),
    "uint8": np.array([0, 128, 255], dtype=np.uint8),
    "bool": np.array([True, False, True]),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
SAFETENSORS_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
# 1.5 and −3: the upper halves of their fp32 bits. NumPy itself has no bfloat16.
BFLOAT16 = {"dtype": "BF16", "shape": [2], "data": struct.pack("<HH", 0x3FC0, 0xC040)}


def as_safetensors():
    tensors = {
        name: {"dtype": SAFETENSORS_DTYPES[array.dtype.name], "shape": list(array.shape), "data": array.tobytes()}
        for name, array in ARRAYS.items()
    }
    return tensors | {"bfloat16": BFLOAT16}


def write(folder):
    save_file(ARRAYS, folder / "python.safetensors", METADATA)

    np.savez_compressed(folder / "python.npz", **ARRAYS, fortran=np.asfortranarray(np.arange(24).reshape(2, 3, 4)))
    with zipfile.ZipFile(folder / "python.npz", "a") as archive:
        for version in [(2, 0), (3, 0)]:
            with archive.open(f"version{version[0]}.npy", "w") as file:
                npy_format.write_array(file, ARRAYS["float32"], version=version)


def check(folder):
    content = (folder / "cpp.safetensors").read_bytes()
    found = {name: tensor for name, tensor in safetensors.deserialize(content)}
    expected = as_safetensors()
    assert found.keys() == expected.keys(), found.keys()
    for name, tensor in expected.items():
        assert found[name]["dtype"] == tensor["dtype"], name
        assert list(found[name]["shape"]) == tensor["shape"], name
        assert bytes(found[name]["data"]) == tensor["data"], name
    with safetensors.safe_open(folder / "cpp.safetensors", framework="np") as file:
        assert file.metadata() == METADATA, file.metadata()

    with np.load(folder / "cpp.npz", allow_pickle=False) as archive:
        assert set(archive.files) == ARRAYS.keys(), archive.files
        for name, array in ARRAYS.items():
            assert archive[name].dtype == array.dtype, name
            np.testing.assert_array_equal(archive[name], array, strict=True)
    with zipfile.ZipFile(folder / "cpp.npz") as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](Path(sys.argv[2]))
