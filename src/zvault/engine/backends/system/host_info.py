"""What the machine says of itself, for ``sys/host-info``.

What lives here: reading ``/proc`` and the file system. What never does: anything secret, anything
that a process without rights could not read. Linux; what a system does not tell is left out.
"""

import contextlib
import os
import platform
import shutil
import socket
import time
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_VIRTUAL = ("cgroup", "devpts", "devtmpfs", "mqueue", "proc", "securityfs", "sysfs", "tmpfs")


def host_info() -> dict[str, Any]:
    """``host``, ``memory``, ``cpu``, ``cpu_times``, ``disk``; each only when it could be read."""
    found: dict[str, Any] = {}
    readers = (
        ("cpu", _cpu),
        ("cpu_times", _cpu_times),
        ("disk", _disk),
        ("host", _host),
        ("memory", _memory),
    )
    for name, read in readers:
        with contextlib.suppress(OSError, ValueError, IndexError, KeyError):
            found[name] = read()
    return found


def _text(name: str) -> str:
    return (_PROC / name).read_text()


def _host() -> dict[str, Any]:
    uptime = int(float(_text("uptime").split()[0]))
    return {
        "hostname": socket.gethostname(),
        "uptime": uptime,
        "bootTime": int(time.time()) - uptime,
        "procs": sum(entry.name.isdecimal() for entry in _PROC.iterdir()),
        "os": platform.system().lower(),
        "kernelVersion": platform.release(),
        "kernelArch": platform.machine(),
    }


def _memory() -> dict[str, Any]:
    pairs = (line.split(":") for line in _text("meminfo").splitlines())
    kilobytes = {name: int(value.split()[0]) * 1024 for name, value in pairs}
    total, available = kilobytes["MemTotal"], kilobytes["MemAvailable"]
    return {
        "total": total,
        "available": available,
        "used": total - available,
        "usedPercent": 100 * (total - available) / total,
        "free": kilobytes["MemFree"],
    }


def _cpu() -> list[dict[str, Any]]:
    result = []
    for block in _text("cpuinfo").split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        values = {name.strip(): value.strip() for name, _, value in pairs}
        if "processor" in values:
            result.append(
                {
                    "cpu": int(values["processor"]),
                    "vendorId": values.get("vendor_id", ""),
                    "modelName": values.get("model name", ""),
                    "mhz": float(values.get("cpu MHz", 0)),
                    "cores": 1,
                }
            )
    return result


def _cpu_times() -> list[dict[str, Any]]:
    per_second = os.sysconf("SC_CLK_TCK")
    result = []
    for line in _text("stat").splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu":
            times = {kind: int(n) / per_second for kind, n in zip(_TICKS, numbers, strict=False)}
            result.append({"cpu": name, **times})
    return result


def _disk() -> list[dict[str, Any]]:
    result: dict[str, dict[str, Any]] = {}
    for line in _text("self/mounts").splitlines():
        device, path, kind = line.split()[:3]
        if kind in _VIRTUAL or device in result or "\\" in path:
            continue
        with contextlib.suppress(OSError):
            usage = shutil.disk_usage(path)
            if usage.total:
                result[device] = {
                    "path": path,
                    "fstype": kind,
                    "total": usage.total,
                    "free": usage.free,
                    "used": usage.used,
                    "usedPercent": 100 * usage.used / usage.total,
                }
    return list(result.values())
