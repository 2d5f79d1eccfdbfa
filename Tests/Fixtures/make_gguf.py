#!/usr/bin/env python3
"""Writes Fixtures/gguf: small GGUF files and, as JSON, what a reader must find in them.

Needs the `gguf` and `numpy` packages from PyPI.  Run from anywhere; the output is deterministic.
"""

import json
import pathlib

import gguf
import numpy as np

HERE = pathlib.Path(__file__).parent / "gguf"


def write(name: str, alignment: int | None) -> None:
    random = np.random.default_rng(7)
    path = HERE / f"{name}.gguf"
    writer = gguf.GGUFWriter(path, "qwen3moe")
    if alignment:
        writer.add_custom_alignment(alignment)
    writer.add_name("fixture")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_uint64("test.u64", 1 << 40)
    writer.add_uint64("test.u64.large", (1 << 64) - 1024)
    writer.add_int64("test.i64", -(1 << 40))
    writer.add_float32("test.f32", 0.15625)
    writer.add_float64("test.f64", 1e-300)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "naïve Ġtoken 🙂")
    writer.add_array("test.strings", ["", "a", "Ġb", "ü" * 40])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -0.25])

    arrays = {
        "output.weight": random.standard_normal((3, 64)).astype(np.float32),
        "half": random.standard_normal((2, 5)).astype(np.float16),
        "experts": random.standard_normal((2, 3, 32)).astype(np.float32),
        "vector": random.standard_normal(7).astype(np.float32),
    }
    expected = {}
    for tensor, array in arrays.items():
        writer.add_tensor(tensor, array)
        expected[tensor] = (array.dtype.name.replace("float", "f"), array.shape, array.tobytes())
    for tensor, kind in (("q4", "Q4_0"), ("q8", "Q8_0"), ("brain", "BF16")):
        array = random.standard_normal((4, 64)).astype(np.float32)
        quantized = gguf.quants.quantize(array, gguf.GGMLQuantizationType[kind])
        writer.add_tensor(tensor, quantized, raw_dtype=gguf.GGMLQuantizationType[kind])
        expected[tensor] = (kind.lower(), array.shape, quantized.tobytes())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    (HERE / f"{name}.json").write_text(
        json.dumps(
            {
                tensor: {"type": kind, "shape": list(shape), "bytes": data.hex()}
                for tensor, (kind, shape, data) in expected.items()
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    write("plain", None)
    write("aligned", 256)
