"""What the kernel says about this machine and about processes on it."""
import os
import pathlib
import platform
import threading

# Above this share of the machine, other processes decide what a stopwatch shows.
OTHER_LOAD_MAX = 0.15


def memory_kib(pid):
    """Pss, Rss and private memory of one process, in KiB, as /proc/<pid>/smaps_rollup says."""
    fields = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name.rstrip(":")] = int(value)
    return {"pss": fields["Pss"], "rss": fields["Rss"], "private": fields["Private_Clean"] + fields["Private_Dirty"]}


def _mappings(pid):
    """(file or kind, {field: KiB}) of each mapping in /proc/<pid>/smaps."""
    name, fields = None, {}
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            if name is not None:
                yield name, fields
            name, fields = (words[5] if len(words) > 5 else "anonymous"), {}
        elif words[-1] == "kB":
            fields[words[0].rstrip(":")] = int(words[1])
    yield name, fields


def memory_alone_kib(pid, family=()):
    """What Pss would be if nobody but `family` (process ids) mapped the same files: no luck with the neighbours."""
    theirs = [{name for name, _ in _mappings(other)} for other in family]
    alone = 0
    for name, fields in _mappings(pid):
        shared = fields["Shared_Clean"] + fields["Shared_Dirty"]
        alone += fields["Rss"] - shared + shared / (1 + sum(name in names for names in theirs))
    return alone


def children_of(pid):
    children = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        children += [int(child) for child in (task / "children").read_text().split()]
    return children


def pin(pid, core):
    """Keeps all present threads of a process (and what they start later) on one core."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def cores():
    return sorted(os.sched_getaffinity(0))


def _busy_and_all():
    user, nice, system, idle, iowait, irq, softirq, steal = map(
        int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    everything = user + nice + system + idle + iowait + irq + softirq + steal
    return everything - idle - iowait, everything


def other_load(seconds=0.6):
    """The share of the machine that others use (stolen time included), measured while we do nothing."""
    busy_before, all_before = _busy_and_all()
    threading.Event().wait(seconds)
    busy, everything = _busy_and_all()
    return (busy - busy_before) / max(1, everything - all_before)


def describe():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    kib = int(pathlib.Path("/proc/meminfo").read_text().split()[1])
    return {"cpu": cpu, "cores": len(cores()), "memory_gib": round(kib / 2**20, 1), "kernel": platform.release()}
