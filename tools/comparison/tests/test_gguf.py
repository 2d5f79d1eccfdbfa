"""The GGUF header against the project's own fixtures and against itself."""
import os
import struct
import unittest

from comparison import Problem, gguf
from comparison.prepare import REPOSITORY

FIXTURE = os.path.join(REPOSITORY, "Tests", "Fixtures", "gguf", "plain.gguf")


class GGUFTests(unittest.TestCase):
    def test_reads_a_file_that_another_program_wrote(self):
        with open(FIXTURE, "rb") as file:
            pairs = gguf.Pairs(file.read(), FIXTURE)
        self.assertIn("general.architecture", pairs.values)
        value = pairs.values["general.architecture"]
        self.assertEqual(struct.unpack("<IQ", value[:12]), (gguf.STRING, len(value) - 12))

    def test_copies_values_byte_for_byte(self):
        values = {"a": "text", "b": 7, "c": 0.5,
                  "d": struct.pack("<IIQ", gguf.ARRAY, gguf.STRING, 1) + gguf.packed_string("x")}
        data = gguf.header(values, [("t", gguf.Q4_0, (2, 64)), ("u", gguf.F32, (3,))])
        self.assertEqual(len(data) % gguf.ALIGNMENT, 0)
        self.assertEqual(gguf.Pairs(data).values["d"], values["d"])
        again = gguf.header(gguf.Pairs(data).values,
                            [("t", gguf.Q4_0, (2, 64)), ("u", gguf.F32, (3,))])
        self.assertEqual(data, again)

    def test_offsets_are_aligned(self):
        data = gguf.header({}, [("t", gguf.F32, (3,)), ("u", gguf.F32, (1,))])
        self.assertIn(struct.pack("<IQ", gguf.F32, 32), data)

    def test_counts_blocks(self):
        self.assertEqual(gguf.tensor_bytes(gguf.Q4_0, (2, 64)), 72)
        with self.assertRaises(Problem):
            gguf.tensor_bytes(gguf.Q4_0, (2, 33))

    def test_every_truncation_is_an_error(self):
        data = gguf.header({"a": "text", "b": 7}, [])
        end = len(data.rstrip(b"\0"))
        for length in range(end):
            with self.assertRaises(Problem):
                gguf.Pairs(data[:length])


if __name__ == "__main__":
    unittest.main()
