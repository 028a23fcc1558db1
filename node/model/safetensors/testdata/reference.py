"""Writes reference.safetensors with the reference implementation (PyPI's safetensors 0.8).

    python -m venv v && v/bin/pip install numpy safetensors==0.8.0 && v/bin/python reference.py
"""
import struct

import numpy as np
from safetensors import TensorSpec, serialize_file

alive = []


def spec(dtype, shape, data):
    alive.append(np.frombuffer(data or b"\0", np.uint8))
    return TensorSpec(dtype=dtype, shape=shape, data_ptr=alive[-1].ctypes.data, data_len=len(data))


serialize_file(
    {
        "model.norm.weight": spec("float32", [3], struct.pack("<3f", 1, -2.5, 3)),
        "model.half": spec("float16", [2, 2], struct.pack("<4e", 0.5, 65504, -1, 2**-24)),
        "model.brain": spec("bfloat16", [1, 3], struct.pack("<3H", 0x3F80, 0xC000, 0x3E80)),
        "mask": spec("bool", [3], bytes([1, 0, 1])),
        "steps": spec("int64", [], struct.pack("<q", 7)),
        'é "quoted"': spec("float32", [0, 4], b""),
    },
    "reference.safetensors",
    {"format": "pt", "who": "é"},
)
