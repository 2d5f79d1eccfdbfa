"""tools/compare: prepare, measure cell by cell, report."""
import datetime
import json
import os
import subprocess
import sys
import time

from . import Problem, options as command_line, plot, probes, report, summary
from .control import run_limited
from .journal import Journal
from .model import facts, layer_files, model_file, store, text_ids
from .prepare import LLAMA_COMMIT, PACKAGE, REPOSITORY, VERSION, Workshop, say, sha256
from .programs import Programs, shown
from .rows import BMOE, BY_NAME, LLAMA, OURS, cells_of_round, selected

#: What a model in memory needs beside its weights: context, scratch, the program.
RAM_HEADROOM = 2_500_000_000


class Comparison:
    def __init__(self, options):
        self.options = options
        self.check()
        self.workshop = Workshop(options.work, options.threads)
        self.sides = [OURS, LLAMA] + ([BMOE] if options.peer_bmoe else [])
        try:
            self.names = selected(options.only)
        except KeyError as unknown:
            raise Problem(f"--only: there is no row or group {unknown}") from None
        unknown = set(options.side or []) - set(self.sides)
        if unknown:
            raise Problem(f"--side: {', '.join(sorted(unknown))} is not among "
                          f"{', '.join(self.sides)}")
        workshop = self.workshop
        build = os.path.abspath(options.llama) if options.llama else workshop.llama_build()
        driver = workshop.driver(build)
        self.probe = workshop.probe()
        self.model = model_file(workshop, options.model, options.vocab)
        self.store = store(workshop, options.store, options.flashmoe, self.model)
        self.budgets = {
            "streamed": options.budget,
            "ram": options.ram_budget or os.path.getsize(self.model) + RAM_HEADROOM}
        self.facts = facts(options.flashmoe, self.store, options.budget)
        self.files = layer_files(self.store)
        ids = text_ids(workshop, driver, options.flashmoe, self.store, self.model, options.text)
        self.programs = Programs(
            flashmoe=options.flashmoe, store=self.store, driver=driver, model=self.model, ids=ids,
            text=os.path.abspath(options.text), bmoe=options.peer_bmoe, threads=options.threads,
            budgets=self.budgets, seconds=options.seconds)
        self.journal = Journal(workshop.path("journal.jsonl"))
        self.identities = self.identify(build)
        self.peaks = None

    def check(self):
        """What would only come out after an hour otherwise."""
        options = self.options
        options.flashmoe = os.path.abspath(options.flashmoe)
        if not os.access(options.flashmoe, os.X_OK):
            raise Problem(f"{options.flashmoe}: there is no such program; run make build")
        if not options.text or not os.path.exists(options.text):
            raise Problem("--text: give an English text of at least 80 KB, for example a book from "
                          "Project Gutenberg")
        if not options.report and not options.prepare and os.geteuid() != 0:
            raise Problem("memory control groups need root; run with sudo")
        with open(options.page) as page:
            report.insert(page.read(), "")

    def identify(self, build):
        """What must be equal for an entry of the journal to count."""
        common = {"model": os.path.basename(self.model), "bytes": os.path.getsize(self.model),
                  "text": sha256(self.options.text), "threads": self.options.threads}
        library = os.path.realpath(os.path.join(build, "bin", "libllama.so"))
        programs = {OURS: sha256(self.options.flashmoe),
                    LLAMA: sha256(library) + sha256(self.programs.driver)}
        if self.options.peer_bmoe:
            programs[BMOE] = sha256(self.options.peer_bmoe)
        return {side: {**common, "program": program} for side, program in programs.items()}

    def identity(self, cell):
        return {**self.identities[cell.side], "limit": self.budgets[cell.group]}

    def entries(self):
        """Entries of this comparison: of these programs, this model and these limits."""
        result = []
        for entry in self.journal.entries:
            group = BY_NAME[entry["rows"][0]].group
            identity = {**self.identities.get(entry["side"], {}), "limit": self.budgets[group]}
            if entry["identity"] == identity and entry["round"] <= self.options.rounds:
                result.append(entry)
        return result

    def best(self, name, repack):
        return summary.best_setting(self.entries(), name, repack)

    def measure(self):
        """Runs what is missing; returns how many cells were left for another time."""
        start = time.monotonic()
        left = 0
        for number in range(1, self.options.rounds + 1):
            for cell in cells_of_round(self.names, self.sides, number, self.best):
                if self.options.side and cell.side not in self.options.side:
                    continue
                if self.journal.find(cell, self.identity(cell)):
                    continue
                late = self.options.minutes is not None and (
                    time.monotonic() - start > self.options.minutes * 60)
                if late:
                    left += 1
                elif cell.group == "ram" and self.lacks_memory():
                    continue
                else:
                    self.run(cell)
        return left

    def lacks_memory(self):
        available = probes.machine()["available_bytes"]
        if available >= self.budgets["ram"]:
            return False
        say(f"compare: rows in RAM left out: {available:,} bytes of memory are available, "
            f"{self.budgets['ram']:,} needed")
        return True

    def disk(self):
        return probes.disk(self.files, self.facts["record_bytes"])

    def run(self, cell):
        if self.peaks is None:
            self.peaks = probes.peaks(self.probe, self.options.threads)
        say(f"compare: round {cell.round}, {cell.name}")
        streams = cell.side == OURS and cell.group == "streamed"
        disk = {} if streams else None
        if streams:
            disk["before"], _ = self.disk()
        line, environment = self.programs.command(cell)
        outcome = run_limited(line, self.budgets[cell.group], self.programs.evicted(cell),
                              self.options.seconds, environment)
        if streams:
            disk["after"], huge_pages = self.disk()
        results, error = {}, outcome.error
        try:
            # Rows that were finished before the deadline count.
            results = self.programs.results(cell, outcome.output)
        except (ValueError, KeyError) as problem:
            error = error or f"unreadable output: {problem}"
        entry = self.journal.add(cell, self.identity(cell), {
            "results": results, "error": error, "seconds": outcome.seconds,
            "peak_bytes": outcome.peak_bytes, "disk": disk, "peaks": self.peaks,
            "fio_huge_pages": huge_pages if streams else None,
            "command": outcome.command, "environment": environment,
            "time": datetime.datetime.now().isoformat(timespec="seconds")})
        for name, result in results.items():
            say(f"compare:   {name}: {report.number(summary.rate(result))} tok/s")
        if entry["error"]:
            say(f"compare:   {entry['error']}")

    def write(self):
        """Table, picture and raw numbers of everything measured so far."""
        entries = self.entries()
        rows = summary.summarize(entries, selected(None), self.facts, self.sides)
        if not rows:
            raise Problem("nothing has been measured yet")
        output = self.options.output
        os.makedirs(output, exist_ok=True)
        raw = os.path.join(output, "compare.json")
        picture = os.path.join(output, "compare.svg")
        page_directory = os.path.dirname(os.path.abspath(self.options.page))
        document = {
            "date": max(entry["time"] for entry in entries)[:10],
            "rounds": max(entry["round"] for entry in entries), "threads": self.options.threads,
            "sides": self.sides, "budgets": self.budgets, "machine": probes.machine(),
            "model": self.facts, "versions": self.versions(),
            "peaks": summary.median_peaks(entries),
            "fio": {"block_bytes": probes.BLOCK_BYTES, "depth": probes.DEPTH,
                    "huge_pages": all(entry.get("fio_huge_pages") for entry in entries
                                      if entry["disk"])},
            "commands": self.commands(entries), "rows": rows,
            "raw": os.path.relpath(raw, page_directory)}
        hidden = self.hidden_paths()
        cells = [{**entry, "command": shown(entry["command"], hidden),
                  "environment": {key: shown([value], hidden)
                                  for key, value in entry["environment"].items()}}
                 for entry in entries]
        with open(raw, "w") as file:
            json.dump({**document, "cells": cells}, file, indent=1)
            file.write("\n")
        caption = (f"{self.facts['name']}, {self.facts['bytes'] / 1e9:.1f} GB, in "
                   f"{self.budgets['streamed'] / 1e9:g} GB of memory and in RAM")
        with open(picture, "w") as file:
            file.write(plot.draw(rows, self.sides, caption) or "")
        with open(self.options.page) as file:
            page = file.read()
        with open(self.options.page, "w") as file:
            file.write(report.insert(page, report.section(
                document, os.path.relpath(picture, page_directory))))
        say(f"compare: wrote {self.options.page}, {picture} and {raw}")

    def hidden_paths(self):
        programs = self.programs
        paths = [programs.flashmoe, programs.store, programs.driver, programs.model, programs.ids,
                 programs.text, programs.bmoe, os.path.join(REPOSITORY, "tools", "limit-memory")]
        return [path for path in paths if path] + self.files

    def commands(self, entries):
        """One command of each side and fio's, as they were run."""
        hidden = self.hidden_paths()
        lines = [f"sudo tools/compare --text {os.path.basename(self.options.text)}"]
        for side in self.sides:
            for entry in entries:
                if entry["side"] == side and entry["results"]:
                    environment = " ".join(
                        f"{key}={value}" for key, value in entry["environment"].items()
                        if key.startswith("OMP_"))
                    lines.append((environment + " " if environment else "")
                                 + shown(entry["command"], hidden))
                    break
        lines += [" ".join(probes.fio_command(["LAYERS"], order, self.facts["record_bytes"], 2))
                  for order in probes.ORDERS]
        return lines

    def versions(self):
        revision = subprocess.run(
            ["git", "-C", REPOSITORY, "describe", "--always", "--dirty"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True).stdout.strip()
        if not self.options.flashmoe.startswith(REPOSITORY + os.sep):
            # The checkout says nothing about a program from elsewhere.
            revision = f"given with --flashmoe, SHA-256 {self.identities[OURS]['program'][:12]}"
        llama = f"{LLAMA_COMMIT} ({PACKAGE} {VERSION}, native build)"
        if self.options.llama:
            llama = f"headers of {LLAMA_COMMIT}, the build given with --llama"
        return {"flashmoe": revision or "unknown", "llama.cpp": llama,
                "compiler": self.workshop.compiler()}


def main(arguments=None):
    options = command_line.parse(arguments)
    try:
        comparison = Comparison(options)
        if options.prepare:
            return 0
        left = 0 if options.report else comparison.measure()
        comparison.write()
        if left:
            say(f"compare: {left} runs or more are left; the same command goes on")
        return 0
    except Problem as problem:
        say(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        say("compare: interrupted; the same command goes on")
        return 130
