"""Command lines, what programs print, deadlines and sizes."""
import argparse
import json
import os
import sys
import tempfile
import unittest

from comparison import control, options, probes, programs
from comparison.rows import BMOE, BY_NAME, LLAMA, OURS, Cell, Setting


def make():
    return programs.Programs(
        flashmoe="/x/flashmoe", store="/x/m.fmoe", driver="/x/driver", model="/x/m.gguf",
        ids="/x/ids.txt", text="/x/book.txt", bmoe="/x/adapter", threads=2,
        budgets={"streamed": 6, "ram": 20}, seconds=225)


class CommandTests(unittest.TestCase):
    def test_ours_is_benched_in_the_budget_of_the_row(self):
        line, _ = make().command(Cell(OURS, ("decode-cold",)))
        self.assertEqual(line[line.index("--ram") + 1], "6")
        self.assertEqual(line[line.index("-n") + 1], "64")
        self.assertEqual(line[line.index("-p") + 1], "0")
        self.assertEqual(line[line.index("--cache") + 1], "cold")

    def test_in_memory_the_longest_prompt_goes_first(self):
        line, _ = make().command(
            Cell(OURS, ("ram-prefill-512", "ram-decode", "ram-prefill-2048")))
        self.assertEqual(line[line.index("-p") + 1], "2048,512")
        self.assertEqual(line[line.index("--ram") + 1], "20")

    def test_repacked_weights_are_read_and_others_mapped(self):
        for repack, load in ((True, "none"), (False, "mmap")):
            line, environment = make().command(
                Cell(LLAMA, ("ram-decode",), Setting("active", 512, repack)))
            self.assertEqual(line[line.index("--load") + 1], load)
            self.assertEqual(environment["OMP_WAIT_POLICY"], "active")

    def test_the_adapter_is_told_everything_by_its_environment(self):
        line, environment = make().command(Cell(BMOE, ("decode-warm",)))
        self.assertEqual(line, ["/x/adapter"])
        self.assertEqual((environment["MODE"], environment["COUNT"], environment["WARM"]),
                         ("decode", "64", "64"))

    def test_tests_of_a_cell_fit_its_deadline(self):
        for rows in (("decode-cold",), ("decode-warm",), ("ram-prefill-512", "ram-decode")):
            rows = [BY_NAME[name] for name in rows]
            runs = sum(2 if row.cache == "warm" else 1 for row in rows)
            self.assertLessEqual(make().test_seconds(rows) * runs, 225)

    def test_paths_are_not_printed(self):
        text = programs.shown(["/x/flashmoe", "bench", "/x/m.fmoe", "a b"],
                              ["/x/flashmoe", "/x/m.fmoe"])
        self.assertEqual(text, "flashmoe bench m.fmoe 'a b'")


class OutputTests(unittest.TestCase):
    def test_finds_the_rows_of_a_bench_report(self):
        row = {"test": "tg64", "cache": "cold", "seconds": 2.0, "bytes_per_token": 1.0,
               "hit_rate": 0.5, "io_wait_share": 0.1, "speculative_bytes": 1,
               "speculative_used_bytes": 1}
        output = json.dumps({"rows": [row], "slots": 1, "records": 2, "chunk": 3, "policy": "lfru",
                             "prefetch": True, "kernels": "k", "reads": "r",
                             "activations": "int8"})
        found = make().results(Cell(OURS, ("decode-cold",)), output)
        self.assertEqual(found["decode-cold"]["seconds"], 2.0)
        self.assertEqual(make().results(Cell(OURS, ("decode-warm",)), output), {})

    def test_lines_of_a_stopped_program_count_up_to_where_it_was_stopped(self):
        output = 'loading\n{"tokens": 512, "seconds": 4.0}\n'
        found = make().results(Cell(LLAMA, ("ram-prefill-512", "ram-decode")), output)
        self.assertEqual(list(found), ["ram-prefill-512"])
        self.assertTrue(found["ram-prefill-512"]["complete"])

    def test_fewer_tokens_than_wanted_are_incomplete(self):
        found = make().results(Cell(BMOE, ("prefill-2048-cold",)), '{"tokens": 9, "seconds": 1}')
        self.assertFalse(found["prefill-2048-cold"]["complete"])

    def test_reads_fio_after_its_notes(self):
        output = 'note: x\n{"jobs": [{"read": {"bw_bytes": 7}}]}'
        self.assertEqual(probes.fio_bandwidth(output), 7)

    def test_fio_reads_a_record_as_a_run_of_blocks(self):
        line = probes.fio_command(["a:b"], "records", 2654208, 2)
        self.assertIn("--rw=randread:5", line)
        self.assertIn("--filename=a\\:b", line)


    def test_huge_pages_are_set_aside_and_given_back(self):
        with tempfile.TemporaryDirectory() as directory:
            setting = os.path.join(directory, "nr_hugepages")
            with open(setting, "w") as file:
                file.write("3\n")
            with probes.huge_pages(setting) as enough:
                self.assertTrue(enough)
                with open(setting) as file:
                    self.assertEqual(int(file.read()), 3 + probes.HUGE_PAGES)
            with open(setting) as file:
                self.assertEqual(int(file.read()), 3)

    def test_without_huge_pages_fio_is_told_so(self):
        with probes.huge_pages("/proc/none") as enough:
            self.assertFalse(enough)
        self.assertIn("--iomem=mmap", probes.fio_command(["a"], "random", 1 << 20, 2, huge=False))


class ControlTests(unittest.TestCase):
    def test_a_deadline_ends_a_command_with_its_children(self):
        with tempfile.TemporaryDirectory() as directory:
            marker = os.path.join(directory, "alive")
            outcome = control.run(
                ["/bin/sh", "-c", f"echo early; (sleep 1; touch {marker}) & wait"], 0.3)
            self.assertIn("stopped after", outcome.error)
            self.assertEqual(outcome.output, "early\n")
            control.run(["/bin/sleep", "1.2"], 10)
            self.assertFalse(os.path.exists(marker))

    def test_a_failure_is_told_by_its_last_words(self):
        outcome = control.run([sys.executable, "-c", "import sys; sys.exit('no such thing')"], 20)
        self.assertEqual(outcome.error, "status 1: no such thing")

    def test_the_peak_is_read_from_what_limit_memory_prints(self):
        self.assertEqual(control.peak_bytes("x\ncontrol group peak: 42 bytes of 50\n"), 42)
        self.assertIsNone(control.peak_bytes("x"))


class SizeTests(unittest.TestCase):
    def test_sizes(self):
        self.assertEqual(options.size("6GB"), 6_000_000_000)
        self.assertEqual(options.size("1.5GiB"), 3 << 29)
        self.assertEqual(options.size("512"), 512)
        for bad in ("", "GB", "6XB", "six"):
            with self.assertRaises(argparse.ArgumentTypeError):
                options.size(bad)


if __name__ == "__main__":
    unittest.main()
