"""What has been measured: one line of JSON a cell, appended when the cell is done.

A cell is found again only with the same identity (programs, model, text, limits), so an entry of
an older build never stands beside one of a newer build.
"""
import json
import os

from .rows import Setting


class Journal:
    def __init__(self, path):
        self.path = path
        self.entries = []
        if not os.path.exists(path):
            return
        with open(path, "rb+") as file:
            content = file.read()
            # A crash may have cut the last line; that cell is measured again.
            whole = content[:content.rfind(b"\n") + 1]
            file.truncate(len(whole))
        self.entries = [json.loads(line) for line in whole.splitlines()]

    def find(self, cell, identity):
        for entry in reversed(self.entries):
            if (entry["side"], tuple(entry["rows"]), entry["round"]) == (
                    cell.side, cell.rows, cell.round) and (
                    entry["setting"] == setting_values(cell.setting)) and (
                    entry["identity"] == identity):
                return entry
        return None

    def add(self, cell, identity, outcome):
        entry = {"side": cell.side, "rows": list(cell.rows), "round": cell.round,
                 "setting": setting_values(cell.setting), "identity": identity, **outcome}
        with open(self.path, "a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.entries.append(entry)
        return entry


def setting_values(setting):
    return {"omp": setting.omp, "ubatch": setting.ubatch, "repack": setting.repack}


def setting_of(entry):
    return Setting(**entry["setting"])
