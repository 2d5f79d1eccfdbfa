"""A command in a memory control group, with a deadline."""
import os
import re
import signal
import subprocess
import time

LIMIT_MEMORY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                            "limit-memory")


class Outcome:
    """What a command did.  `error` is None when it ended well in time."""

    def __init__(self, command, output, errors, status, seconds, timed_out):
        self.command = command
        self.output = output
        self.errors = errors
        self.seconds = seconds
        self.peak_bytes = peak_bytes(errors)
        self.error = None
        if timed_out:
            self.error = f"stopped after {seconds:.0f} s"
        elif status != 0:
            lines = [line for line in errors.splitlines() if "control group peak" not in line]
            reason = lines[-1].strip() if lines else ""
            self.error = f"status {status}" + (f": {reason}" if reason else "")


def peak_bytes(errors):
    """The control group's peak, which limit-memory prints last."""
    found = re.findall(r"control group peak: (\d+) bytes", errors)
    return int(found[-1]) if found else None


def run_limited(command, limit_bytes, evict, seconds, environment=None):
    """Runs `command` in a group of `limit_bytes` after dropping `evict` from the page cache."""
    line = [LIMIT_MEMORY, str(limit_bytes)]
    for path in evict:
        line += ["--evict", path]
    return run(line + command, seconds, environment, group_of_limit_memory)


def run(line, seconds, environment=None, after_kill=None):
    start = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **(environment or {})}, start_new_session=True)
    timed_out = False
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        output, errors = stop(process)
    except BaseException:
        stop(process)
        if after_kill:
            after_kill(process.pid)
        raise
    if timed_out and after_kill:
        after_kill(process.pid)
    return Outcome(line, output, errors, process.returncode, time.monotonic() - start, timed_out)


def stop(process):
    """Ends a command and its children: all of them are in the session that was made for it."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()


def group_of_limit_memory(pid):
    """A killed limit-memory cannot remove its group; its processes are gone."""
    for parent in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        group = os.path.join(parent, f"flashmoe-{pid}")
        if os.path.isdir(group):
            for _ in range(50):
                try:
                    os.rmdir(group)
                    break
                except OSError:
                    time.sleep(0.1)
