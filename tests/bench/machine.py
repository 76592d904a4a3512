# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows: CPU time and memory of process trees, where they may run, and who else is busy.

CPU time is the scheduler's own account in nanoseconds (schedstat), summed over all threads of all processes of a tree,
so that a competitor's helpers are counted as ours are.
"""
import os
import pathlib
import platform
import re
import time

TICK = os.sysconf('SC_CLK_TCK')
FOREIGN_MAX = 0.3  # cores


def read(path):
    """A file of /proc, or None: processes end while they are looked at."""
    try:
        return pathlib.Path(path).read_text(encoding='ascii', errors='replace')
    except OSError:
        return None


def threads(pid):
    try:
        return [int(name) for name in os.listdir('/proc/%d/task' % pid)]
    except OSError:
        return []


def tree(roots):
    """The processes of these ids and all that descend from them."""
    found, todo = [], list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        for thread in threads(pid):
            todo += [int(child) for child in (read('/proc/%d/task/%d/children' % (pid, thread)) or '').split()]
    return found


def ended_children_ns(stat):
    """User and system time of the children that a process has waited for, from its /proc/PID/stat."""
    fields = stat[stat.rindex(')') + 2:].split()
    return (int(fields[13]) + int(fields[14])) * 10**9 // TICK


def cpu_ns(roots):
    total = 0
    for pid in tree(roots):
        for thread in threads(pid):
            total += int((read('/proc/%d/task/%d/schedstat' % (pid, thread)) or '0').split()[0])
        stat = read('/proc/%d/stat' % pid)
        total += ended_children_ns(stat) if stat else 0
    return total


def rss_kib(roots):
    found = (re.search(r'VmRSS:\s+(\d+)', read('/proc/%d/status' % pid) or '') for pid in tree(roots))
    return sum(int(match.group(1)) for match in found if match)


def open_files(pid):
    return len(os.listdir('/proc/%d/fd' % pid))


def kernel_ns(roots):
    """Of their CPU time what the kernel spent on their behalf, by ticks: for stretches of seconds."""
    stats = (read('/proc/%d/stat' % pid) for pid in tree(roots))
    return sum(int(stat[stat.rindex(')') + 2:].split()[12]) * 10**9 // TICK for stat in stats if stat)


def pin(roots, cores):
    for pid in tree(roots):
        for thread in threads(pid):
            try:
                os.sched_setaffinity(thread, cores)
            except OSError:
                pass  # it has ended


def busy_and_stolen(stat):
    """Nanoseconds that all cores worked, and that the host took, from the first line of /proc/stat."""
    user, nice, system, _, _, irq, softirq, steal = [int(n) for n in stat.split('\n', maxsplit=1)[0].split()[1:9]]
    return (user + nice + system + irq + softirq) * 10**9 // TICK, steal * 10**9 // TICK


class Cores:
    """The gateway has a core of its own; where there are more than two, so have the others."""

    def __init__(self):
        self.all = sorted(os.sched_getaffinity(0))
        pick = [self.all[min(i, len(self.all) - 1)] for i in range(4)]
        self.gateway, self.upstream = {pick[0]}, {pick[1]}
        self.load, self.database = {pick[2]}, {pick[3]}

    def words(self):
        if len(self.all) == 1:
            return 'one core for all'
        return 'gateway on core %d, fake upstream on %d, load on %d, PostgreSQL on %d' % tuple(
            next(iter(part)) for part in (self.gateway, self.upstream, self.load, self.database))


class Window:
    """A stretch of time: CPU of named groups, and what others did meanwhile. ours: roots of all that the benchmark runs."""

    def __init__(self, groups, ours):
        self.groups, self.ours = groups, ours
        self.ns, self.foreign, self.steal, self.wall = {}, 0.0, 0.0, 0.0

    def now(self):
        return ({name: cpu_ns(roots) for name, roots in self.groups.items()}, cpu_ns(self.ours),
                busy_and_stolen(read('/proc/stat')), time.monotonic_ns())

    def __enter__(self):
        self.before = self.now()
        return self

    def __exit__(self, *unused):
        after, before = self.now(), self.before
        wall = max(1, after[3] - before[3])
        self.wall = wall / 1e9
        self.ns = {name: after[0][name] - before[0][name] for name in self.groups}
        self.foreign = max(0.0, (after[2][0] - before[2][0] - (after[1] - before[1])) / wall)
        self.steal = (after[2][1] - before[2][1]) / wall

    @property
    def quiet(self):
        return self.foreign + self.steal <= FOREIGN_MAX


def fdatasync_us(directory, count=50):
    """The median of writing 8 KiB to a file and waiting until the disk has it."""
    path = pathlib.Path(directory) / 'fdatasync'
    took = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(count):
            start = time.monotonic_ns()
            os.pwrite(descriptor, os.urandom(8192), 0)
            os.fdatasync(descriptor)
            took.append(time.monotonic_ns() - start)
    finally:
        os.close(descriptor)
        path.unlink()
    return sorted(took)[count // 2] / 1e3


def facts():
    cpu = re.search(r'model name\s*: (.*)', read('/proc/cpuinfo') or '')
    return {'cpu': cpu.group(1) if cpu else platform.machine(), 'cores': len(os.sched_getaffinity(0)),
            'kernel': platform.release(), 'load': (read('/proc/loadavg') or '').split()[0]}
