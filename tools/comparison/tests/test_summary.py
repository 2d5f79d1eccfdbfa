"""Medians, the better setting, limits, the table and the picture."""
import unittest
import xml.dom.minidom

from comparison import Problem, limits, plot, report, summary
from comparison.journal import setting_values
from comparison.rows import BY_NAME, LLAMA, OURS, Setting

FACTS = {"multiplied": 1_000, "head": 100, "touched_bytes": 2_000}
PEAKS = {"memory_bytes_per_second": 20_000.0, "integer_ops_per_second": 1e6,
         "vector_ops_per_second": 5e5, "integer_instructions": "x"}
PASSIVE, ACTIVE = Setting("passive", 512), Setting("active", 512)


def entry(side, name, tokens, seconds, setting=Setting(), round=1, **result):
    return {"side": side, "rows": [name], "round": round, "setting": setting_values(setting),
            "results": {name: {"tokens": tokens, "seconds": seconds, "complete": True, **result}},
            "error": None, "peak_bytes": 5, "peaks": PEAKS, "disk": None}


def mine(name, tokens, seconds, disk=1000.0, bytes_per_token=500.0, round=1):
    made = entry(OURS, name, tokens, seconds, round=round, bytes_per_token=bytes_per_token,
                 hit_rate=0.5, io_wait_share=0.1)
    made["disk"] = {"before": {"random": disk / 2, "records": disk * 0.9},
                    "after": {"random": disk * 1.1, "records": 1.0}}
    return made


class SummaryTests(unittest.TestCase):
    def test_takes_the_peers_better_setting_by_its_median(self):
        entries = [entry(LLAMA, "decode-cold", 8, 8.0, PASSIVE),
                   entry(LLAMA, "decode-cold", 8, 2.0, PASSIVE, 2),
                   entry(LLAMA, "decode-cold", 8, 4.0, PASSIVE, 3),
                   entry(LLAMA, "decode-cold", 8, 3.0, ACTIVE)]
        found = summary.peer(entries, LLAMA, "decode-cold")
        self.assertEqual(found["setting"], str(ACTIVE))
        self.assertAlmostEqual(found["tokens_per_second"], 8 / 3)

    def test_a_row_without_a_token_in_time_says_so(self):
        entries = [entry(LLAMA, "decode-cold", 0, 70.0, PASSIVE)]
        self.assertEqual(summary.peer(entries, LLAMA, "decode-cold")["error"], "nothing in 70 s")

    def test_the_limit_is_what_takes_longest(self):
        row = BY_NAME["decode-cold"]
        found = limits.limit(row, FACTS, PEAKS, 500, 1000)
        self.assertEqual(found["set_by"], "disk")
        self.assertAlmostEqual(found["tokens_per_second"], 2)
        found = limits.limit(row, FACTS, PEAKS, 0, None)
        self.assertEqual(found["set_by"], "memory")
        self.assertAlmostEqual(found["tokens_per_second"], 10)
        found = limits.limit(BY_NAME["prefill-512-cold"], FACTS, PEAKS, 0, None)
        self.assertEqual(found["set_by"], "arithmetic")

    def test_the_head_counts_once_a_prompt_and_once_a_decoded_token(self):
        self.assertEqual(limits.products(FACTS, BY_NAME["decode-cold"]), 2200)
        self.assertAlmostEqual(limits.products(FACTS, BY_NAME["prefill-512-cold"]),
                               2 * (1000 + 100 / 512))

    def test_ours_is_held_against_the_disk_of_its_own_run(self):
        found = summary.ours([mine("decode-cold", 64, 64.0)], "decode-cold", FACTS)
        # The faster order of each time, then the mean: (900 + 1100) / 2.
        self.assertAlmostEqual(found["disk_bytes_per_second"], 1000)
        self.assertAlmostEqual(found["share_of_limit"], 0.5)

    def test_a_row_of_one_side_alone_has_no_ratio(self):
        rows = summary.summarize([mine("decode-cold", 64, 64.0)], ["decode-cold"], FACTS,
                                 [OURS, LLAMA])
        self.assertEqual(rows[0]["peers"], {})
        self.assertIn("| decode, cold |", report.table(rows, [OURS, LLAMA]))

    def test_table_and_picture_hold_both_sides_and_their_ratio(self):
        entries = [mine("decode-cold", 64, 64.0), entry(LLAMA, "decode-cold", 8, 80.0, PASSIVE)]
        rows = summary.summarize(entries, ["decode-cold"], FACTS, [OURS, LLAMA])
        self.assertAlmostEqual(rows[0]["peers"][LLAMA]["ratio"], 10)
        table = report.table(rows, [OURS, LLAMA])
        self.assertEqual(len({line.count("|") for line in table.splitlines()}), 1)
        self.assertIn("10.0 ×", table)
        picture = plot.draw(rows, [OURS, LLAMA], "A < B & C")
        xml.dom.minidom.parseString(picture)
        self.assertIn("prefers-color-scheme: dark", picture)
        self.assertIn("10.0 ×", picture)

    def test_a_picture_of_nothing_is_none(self):
        self.assertIsNone(plot.draw([], [OURS], "nothing"))


class PageTests(unittest.TestCase):
    def test_replaces_only_what_is_between_the_markers(self):
        page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        once = report.insert(page, "new")
        self.assertEqual(once, f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")
        self.assertEqual(report.insert(once, "new"), once)

    def test_a_page_without_markers_is_refused(self):
        with self.assertRaises(Problem):
            report.insert("text", "new")

    def test_numbers_have_three_figures(self):
        self.assertEqual([report.number(value) for value in (1234.5, 12.34, 1.234, 0.1234, None)],
                         ["1234", "12.3", "1.23", "0.123", "–"])


if __name__ == "__main__":
    unittest.main()
