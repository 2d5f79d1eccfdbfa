"""From cells to rows of the table: medians, the better setting, ratios, shares of the limit."""
from statistics import median

from .journal import setting_of
from .limits import limit
from .rows import BY_NAME, LLAMA, OURS


def rate(result):
    """Tokens per second; None when the deadline came before the first result."""
    if not result or not result["tokens"] or not result["seconds"]:
        return None
    return result["tokens"] / result["seconds"]


def samples(entries, side, name):
    """{setting: [result with its cell]} of a row."""
    found = {}
    for entry in entries:
        if entry["side"] == side and name in entry["results"]:
            found.setdefault(setting_of(entry), []).append((entry["results"][name], entry))
    return found


def best_setting(entries, name, repack=None, side=LLAMA):
    """The setting with the highest median, among those repacked or not unless None."""
    rates = {}
    for setting, measured in samples(entries, side, name).items():
        values = [value for value in (rate(result) for result, _ in measured) if value]
        if values and (repack is None or setting.repack == repack):
            rates[setting] = median(values)
    return max(rates, key=rates.get) if rates else None


def peer(entries, side, name, repack=None):
    """A peer's better result of a row, or why there is none."""
    setting = best_setting(entries, name, repack, side)
    measured = samples(entries, side, name)
    if setting is None:
        # Not one token in time: the rate is below what one token would have meant.
        late = [result["seconds"] for found in measured.values() for result, _ in found]
        errors = [entry["error"] for entry in entries
                  if entry["side"] == side and name in entry["rows"] and entry["error"]]
        if late:
            return {"error": f"nothing in {max(late):.0f} s"}
        return {"error": errors[-1]} if errors else None
    chosen = measured[setting]
    rates = [value for value in (rate(result) for result, _ in chosen) if value]
    return {
        "tokens_per_second": median(rates), "samples": rates, "setting": str(setting),
        "tokens": min(result["tokens"] for result, _ in chosen),
        "complete": all(result["complete"] for result, _ in chosen),
        "peak_bytes": highest(entry["peak_bytes"] for _, entry in chosen)}


def highest(values):
    return max([value for value in values if value is not None], default=None)


def ours(entries, name, facts):
    measured = [pair for pairs in samples(entries, OURS, name).values() for pair in pairs]
    rates = [value for value in (rate(result) for result, _ in measured) if value]
    if not rates:
        errors = [entry["error"] for entry in entries
                  if entry["side"] == OURS and name in entry["rows"] and entry["error"]]
        return {"error": errors[-1]} if errors else None
    row = BY_NAME[name]
    shares, limits = [], []
    for result, entry in measured:
        found = limit(row, facts, entry["peaks"], result["bytes_per_token"], disk_of(entry))
        if found:
            limits.append(found)
            shares.append(rate(result) / found["tokens_per_second"])
    disks = [disk_of(entry) for _, entry in measured if disk_of(entry)]
    return {
        "tokens_per_second": median(rates), "samples": rates,
        "bytes_per_token": median(result["bytes_per_token"] for result, _ in measured),
        "hit_rate": measured[-1][0]["hit_rate"],
        "io_wait_share": median(result["io_wait_share"] for result, _ in measured),
        "disk_bytes_per_second": median(disks) if disks else None,
        "limit": limits[-1] if limits else None,
        "limit_tokens_per_second":
            median(each["tokens_per_second"] for each in limits) if limits else None,
        "share_of_limit": median(shares) if shares else None,
        "peak_bytes": highest(entry["peak_bytes"] for _, entry in measured)}


def disk_of(entry):
    """fio's faster order, before and after the run; a shared disk changes, so the mean of both."""
    values = [max(orders.values()) for orders in (entry.get("disk") or {}).values()]
    return sum(values) / len(values) if values else None


def summarize(entries, names, facts, sides):
    """One dictionary a row of the table."""
    rows = []
    for name in names:
        row = BY_NAME[name]
        mine = ours(entries, name, facts)
        line = {"row": name, "title": row.title, "group": row.group, "ours": mine, "peers": {}}
        for side in sides:
            if side == OURS:
                continue
            found = peer(entries, side, name)
            if not found:
                continue
            line["peers"][side] = found
            if side == LLAMA and row.group == "ram":
                plain = peer(entries, side, name, repack=False)
                if plain and "error" not in plain:
                    found["without_repacking"] = plain
        for found in line["peers"].values():
            if mine and "error" not in mine and "error" not in found:
                found["ratio"] = mine["tokens_per_second"] / found["tokens_per_second"]
        if mine or line["peers"]:
            rows.append(line)
    return rows


def median_peaks(entries):
    """The machine's peaks: the median over the calls that made up the comparison."""
    result = dict(entries[-1]["peaks"])
    for key, value in result.items():
        if isinstance(value, (int, float)):
            result[key] = median(entry["peaks"][key] for entry in entries)
    return result
