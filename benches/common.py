"""What the measuring scripts share: which program, which commit, which machine."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Failed(Exception):
    """A run that did not deliver."""


def build():
    """This tree's viamillipede, built first if need be."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, stdout=sys.stderr, check=True)
    return ROOT / "target/release/viamillipede"


def commit():
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"


def machine():
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    name = model[1] if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, Linux {platform.release()}"
