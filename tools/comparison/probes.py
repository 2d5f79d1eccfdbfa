"""What the machine can do, measured beside what the programs do."""
import json
import os
from contextlib import contextmanager

from . import Problem
from .control import run

BLOCK_BYTES = 512 << 10
DEPTH = 64


#: fio's buffers in huge pages: DEPTH blocks and as much again for what fio puts around them.
HUGE_PAGE_BYTES = 2 << 20
HUGE_PAGES = 2 * DEPTH * BLOCK_BYTES // HUGE_PAGE_BYTES
HUGE_PAGE_SETTING = "/proc/sys/vm/nr_hugepages"

#: The two orders the disk is asked in; the faster one counts, so that no limit is set too low.
ORDERS = ("random", "records")


@contextmanager
def huge_pages(setting=HUGE_PAGE_SETTING):
    """Sets huge pages aside while fio runs; yields whether there are enough."""
    try:
        with open(setting) as file:
            before = int(file.read())
        with open(setting, "w") as file:
            file.write(str(before + HUGE_PAGES))
        with open(setting) as file:
            enough = int(file.read()) >= before + HUGE_PAGES
    except (OSError, ValueError):
        yield False
        return
    try:
        yield enough
    finally:
        with open(setting, "w") as file:
            file.write(str(before))


def fio_command(files, order, record_bytes, seconds, huge=True):
    """Random blocks, or random records read block after block, as a store's are.

    Registered buffers and files, in huge pages, as in our own reader: a block of small pages is
    more pieces than one request of a virtual disk holds, and fio reads at half the speed.
    """
    names = ":".join(name.replace(":", "\\:") for name in files)
    run_length = max(1, record_bytes // BLOCK_BYTES)
    pattern = ["--rw=randread"] if order == "random" else [
        f"--rw=randread:{run_length}", "--rw_sequencer=sequential"]
    return ["fio", "--name=disk", f"--filename={names}", "--readonly", *pattern,
            f"--bs={BLOCK_BYTES}", "--ioengine=io_uring", "--direct=1", f"--iodepth={DEPTH}",
            "--fixedbufs", "--registerfiles", f"--iomem={'mmaphuge' if huge else 'mmap'}",
            "--file_service_type=random", "--norandommap",
            "--randrepeat=0", f"--runtime={seconds}", "--time_based", "--output-format=json"]


def disk(files, record_bytes, seconds=2):
    """Bytes per second at our block size and depth, past the page cache, by order.

    And whether fio's buffers were in huge pages: without them it shows less than the disk gives.
    """
    result = {}
    with huge_pages() as huge:
        for order in ORDERS:
            try:
                outcome = run(fio_command(files, order, record_bytes, seconds, huge), seconds + 60)
            except FileNotFoundError:
                raise Problem("fio is missing; install it with: apt-get install fio") from None
            if outcome.error:
                raise Problem(f"fio: {outcome.error}")
            result[order] = fio_bandwidth(outcome.output)
    return result, huge


def fio_bandwidth(text):
    # fio may print notes before its document.
    return json.loads(text[text.index("{"):])["jobs"][0]["read"]["bw_bytes"]


def peaks(probe, threads):
    """Memory bandwidth and 8-bit arithmetic of `threads` threads."""
    outcome = run([probe, str(threads)], 60)
    if outcome.error:
        raise Problem(f"the probe failed: {outcome.error}")
    return json.loads(outcome.output)


def machine():
    """What a reader must know to judge a number."""
    facts = {"processor": "unknown", "cores": os.cpu_count()}
    with open("/proc/cpuinfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "flags") and name.strip() not in facts:
                facts[name.strip()] = value.strip()
    facts["processor"] = facts.pop("model name", facts["processor"])
    flags = facts.pop("flags", "").split()
    facts["instructions"] = [name for name in (
        "avx2", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8") if name in flags]
    with open("/proc/meminfo") as file:
        memory = dict(line.split(":", 1) for line in file)
    facts["memory_bytes"] = int(memory["MemTotal"].split()[0]) * 1024
    facts["available_bytes"] = int(memory["MemAvailable"].split()[0]) * 1024
    facts["kernel"] = os.uname().release
    facts["system"] = system_name()
    return facts


def system_name():
    try:
        with open("/etc/os-release") as file:
            fields = dict(line.rstrip().split("=", 1) for line in file if "=" in line)
        return fields.get("PRETTY_NAME", "Linux").strip('"')
    except OSError:
        return "Linux"
