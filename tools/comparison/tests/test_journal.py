"""The journal survives crashes and forgets nothing that still counts."""
import os
import tempfile
import unittest

from comparison.journal import Journal, setting_of
from comparison.rows import LLAMA, Cell, Setting

CELL = Cell(LLAMA, ("decode-cold",), Setting("passive", 512), 1)
IDENTITY = {"program": "abc", "limit": 6}
OUTCOME = {"results": {}, "error": None}


class JournalTests(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = os.path.join(self.directory.name, "journal.jsonl")

    def test_finds_what_was_added_also_after_a_restart(self):
        Journal(self.path).add(CELL, IDENTITY, OUTCOME)
        found = Journal(self.path).find(CELL, IDENTITY)
        self.assertEqual(setting_of(found), CELL.setting)

    def test_another_program_round_setting_or_row_is_another_entry(self):
        journal = Journal(self.path)
        journal.add(CELL, IDENTITY, OUTCOME)
        self.assertIsNone(journal.find(CELL, {**IDENTITY, "program": "def"}))
        for cell in (Cell(LLAMA, CELL.rows, CELL.setting, 2),
                     Cell(LLAMA, CELL.rows, Setting("active", 512), 1),
                     Cell(LLAMA, ("decode-warm",), CELL.setting, 1)):
            self.assertIsNone(journal.find(cell, IDENTITY))

    def test_a_line_cut_by_a_crash_is_dropped_and_the_file_stays_readable(self):
        Journal(self.path).add(CELL, IDENTITY, OUTCOME)
        with open(self.path, "a") as file:
            file.write('{"side": "llama.cpp", "rows": ["dec')
        other = Cell(LLAMA, ("decode-warm",), CELL.setting, 1)
        journal = Journal(self.path)
        self.assertEqual(len(journal.entries), 1)
        journal.add(other, IDENTITY, OUTCOME)
        again = Journal(self.path)
        self.assertIsNotNone(again.find(CELL, IDENTITY))
        self.assertIsNotNone(again.find(other, IDENTITY))


if __name__ == "__main__":
    unittest.main()
