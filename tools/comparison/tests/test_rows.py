"""Rows, settings and the order of cells."""
import unittest

from comparison.rows import (BMOE, BY_NAME, LLAMA, OURS, POLICIES, ROWS, Setting, bundles,
                             cells_of_round, llama_settings, selected)


def never(name, repack):
    return None


class RowTests(unittest.TestCase):
    def test_selects_groups_kinds_and_names_in_the_order_of_the_table(self):
        self.assertEqual(selected(None), [row.name for row in ROWS])
        self.assertEqual(selected(["ram-decode", "decode-cold"]), ["decode-cold", "ram-decode"])
        self.assertEqual(
            selected(["decode"]), ["decode-cold", "decode-warm", "ram-decode"])
        with self.assertRaises(KeyError):
            selected(["decode-hot"])

    def test_every_row_is_measured_once_by_each_side(self):
        names = selected(None)
        for side in (OURS, LLAMA):
            measured = [name for rows in bundles(names, side) for name in rows]
            self.assertEqual(sorted(measured), sorted(names))

    def test_streamed_rows_start_their_own_process(self):
        for rows in bundles(selected(["streamed"]), OURS):
            self.assertEqual(len(rows), 1)

    def test_sides_alternate_and_take_turns_in_going_first(self):
        names = ["decode-cold", "decode-warm"]
        first = [cell.side for cell in cells_of_round(names, [OURS, LLAMA], 1, never)]
        self.assertEqual(first, [OURS, LLAMA, LLAMA] * 2)
        second = [cell.side for cell in cells_of_round(names, [OURS, LLAMA], 2, never)]
        self.assertEqual(second[0], LLAMA)
        self.assertEqual(second.count(OURS), 2)

    def test_a_row_is_finished_by_both_sides_before_the_next_begins(self):
        seen = []
        for cell in cells_of_round(selected(None), [OURS, LLAMA], 1, never):
            for name in cell.rows:
                seen.append((name, cell.side))
        for name in selected(["streamed"]):
            places = [at for at, (row, _) in enumerate(seen) if row == name]
            self.assertEqual(places, list(range(places[0], places[0] + len(places))))

    def test_a_third_side_measures_every_row(self):
        cells = list(cells_of_round(selected(None), [OURS, LLAMA, BMOE], 1, never))
        rows = {name for cell in cells if cell.side == BMOE for name in cell.rows}
        self.assertEqual(rows, set(selected(None)))


class SettingTests(unittest.TestCase):
    def test_short_rows_try_both_waiting_policies(self):
        settings = llama_settings("decode-cold", never)
        self.assertEqual([setting.omp for setting in settings], list(POLICIES))
        self.assertFalse(any(setting.repack for setting in settings))

    def test_long_prompts_keep_the_policy_that_won_the_short_one(self):
        winner = Setting("active", 512)
        settings = llama_settings("prefill-8192-cold", lambda name, repack: winner)
        self.assertEqual(settings, [Setting("active", 2048)])

    def test_rows_in_memory_try_repacked_weights_and_plain_ones(self):
        settings = llama_settings("ram-decode", never)
        self.assertEqual({setting.repack for setting in settings}, {True, False})
        self.assertEqual({setting.omp for setting in settings}, set(POLICIES))

    def test_later_rounds_run_only_winners(self):
        won = {None: Setting("active", 512, True), True: Setting("active", 512, True),
               False: Setting("passive", 512, False)}
        cells = [cell for cell in cells_of_round(
            ["ram-decode"], [OURS, LLAMA], 2, lambda name, repack: won[repack])
            if cell.side == LLAMA]
        self.assertEqual({cell.setting for cell in cells}, set(won.values()))

    def test_a_setting_is_named_by_what_is_set(self):
        self.assertEqual(str(Setting()), "")
        self.assertEqual(str(Setting("passive", 512, True)), "passive, ubatch 512, repacked")

    def test_titles_say_what_the_cache_held(self):
        self.assertEqual(BY_NAME["decode-cold"].title, "decode, cold")
        self.assertEqual(BY_NAME["ram-prefill-512"].title, "prefill 512, all in RAM")


if __name__ == "__main__":
    unittest.main()
