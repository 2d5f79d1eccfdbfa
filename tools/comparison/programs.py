"""How each side is run, and what it says: command lines and the reading of their output."""
import json
import os

from .rows import BMOE, BY_NAME, LLAMA, OURS


class Programs:
    """Everything the command lines need to know."""

    def __init__(self, *, flashmoe, store, driver, model, ids, text, bmoe, threads, budgets,
                 seconds):
        self.flashmoe, self.store = flashmoe, store
        self.driver, self.model = driver, model
        self.ids, self.text, self.bmoe = ids, text, bmoe
        self.threads, self.budgets = threads, budgets
        self.seconds = seconds  # a cell's, loading included

    def evicted(self, cell):
        """Files dropped from the page cache first, so that no page of them is charged elsewhere."""
        return [self.store if cell.side == OURS else self.model]

    def command(self, cell):
        """(arguments, environment) of a cell's process."""
        rows = [BY_NAME[name] for name in cell.rows]
        make = {OURS: self._ours, LLAMA: self._llama, BMOE: self._bmoe}[cell.side]
        return make(cell, rows)

    def _ours(self, cell, rows):
        prompts = [str(row.tokens) for row in rows if row.kind == "prefill"]
        decodes = [str(row.tokens) for row in rows if row.kind == "decode"]
        # In memory the longest prompt goes first: what follows has nothing left to read.
        prompts.sort(key=int, reverse=True)
        line = [self.flashmoe, "bench", self.store, "--ram", str(self.budgets[cell.group]),
                "-p", ",".join(prompts) or "0", "-n", ",".join(decodes) or "0", "-r", "1",
                "--cache", rows[0].cache, "-f", self.text, "-t", str(self.threads), "--no-probe",
                "-o", "json"]
        return line, {}

    def _llama(self, cell, rows):
        setting = cell.setting
        # Repacked weights are copies, so they are read rather than mapped.
        load = "none" if setting.repack else "mmap"
        line = [self.driver, self.model, "--ids", self.ids, "--threads", str(self.threads),
                "--ubatch", str(setting.ubatch), "--load", load,
                "--repack", "1" if setting.repack else "0",
                "--seconds", str(self.test_seconds(rows))]
        line += [f"{row.kind}:{row.peer_tokens}:{self.warm_tokens(row)}" for row in rows]
        return line, {"OMP_WAIT_POLICY": setting.omp, "OMP_NUM_THREADS": str(self.threads)}

    def _bmoe(self, cell, rows):
        row = rows[0]
        environment = {
            "MODEL": self.model, "BUDGET": str(self.budgets[cell.group]), "TOKENS": self.ids,
            "MODE": row.kind, "COUNT": str(row.tokens),
            "WARM": str(row.tokens if row.cache == "warm" else 0),
            "THREADS": str(self.threads), "SECONDS": str(int(self.test_seconds(rows)))}
        return [self.bmoe], environment

    def test_seconds(self, rows):
        """A test's share of the cell's time; a third of it is left for loading and warming."""
        return max(10, round(self.seconds * 2 / 3 / sum(2 if row.cache == "warm" else 1
                                                        for row in rows)))

    @staticmethod
    def warm_tokens(row):
        """What a peer runs before a warm test: as much as is measured, but no second hour."""
        if row.cache == "cold":
            return 0
        return min(row.peer_tokens, 512)

    def results(self, cell, output):
        """What was measured of each row: {row name: {tokens, seconds, …}}."""
        rows = [BY_NAME[name] for name in cell.rows]
        if cell.side == OURS:
            return read_ours(rows, output)
        return read_lines(rows, output)


def read_ours(rows, output):
    report = json.loads(output)
    found = {}
    for row in rows:
        name = ("pp" if row.kind == "prefill" else "tg") + str(row.tokens)
        for entry in report["rows"]:
            if entry["test"] == name and entry["cache"] == row.cache:
                found[row.name] = {
                    "tokens": row.tokens, "seconds": entry["seconds"], "complete": True,
                    "bytes_per_token": entry["bytes_per_token"], "hit_rate": entry["hit_rate"],
                    "io_wait_share": entry["io_wait_share"],
                    "speculative_bytes": entry["speculative_bytes"],
                    "speculative_used_bytes": entry["speculative_used_bytes"],
                    "slots": report["slots"], "records": report["records"],
                    "chunk": report["chunk"], "policy": report["policy"],
                    "prefetch": report["prefetch"], "kernels": report["kernels"],
                    "reads": report["reads"], "activations": report["activations"]}
    return found


def read_lines(rows, output):
    """One JSON object a row, in the order of the rows; other lines are a program's own talk."""
    entries = []
    for line in output.splitlines():
        if line.startswith("{"):
            entry = json.loads(line)
            if "tokens" in entry and "seconds" in entry:
                entries.append(entry)
    found = {}
    for row, entry in zip(rows, entries):
        entry.setdefault("complete", entry["tokens"] >= row.peer_tokens)
        found[row.name] = entry
    return found


def shown(command, replacements):
    """A command line for people: long paths by their last name, quoted where needed."""
    words = []
    for word in command:
        for path in replacements:
            if word == path or word.startswith(path + os.sep):
                word = os.path.basename(word)
        words.append(f"'{word}'" if " " in word else word)
    return " ".join(words)
