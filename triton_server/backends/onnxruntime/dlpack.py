"""Triton tensors in, numpy arrays out, and back, by DLPack; without copies and without numpy's C interface.

The stub process was built against numpy 1: with numpy 2 its ``as_numpy()`` and ``Tensor(name, array)`` silently carry
wrong data. DLPack has no such tie.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

CONSUMED = b"used_dltensor"  # the capsule points at this text for as long as it lives
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = (ctypes.py_object, ctypes.c_char_p)


def to_array(tensor: Any) -> np.ndarray:
    """A read-only array over the memory of a Triton tensor, which it keeps alive."""
    return np.from_dlpack(tensor)


def to_tensor(name: str, array: np.ndarray) -> Any:
    """A Triton tensor over the memory of ``array``, which it keeps alive."""
    capsule = np.ascontiguousarray(array).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # Triton marks it "used_dlpack"; numpy looks for the standard's name and prints a traceback for any other
    _set_name(capsule, CONSUMED)
    return tensor
