"""What a process does with its memory."""

import subprocess
import sys

import pytest

from tests.servers.portal import ROOT

FORGET = """
from pathlib import Path
from opsportal.lib.processes import forget_code

def mapped():
    found, is_code = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line[0] in "0123456789abcdef":
            is_code = line.split()[1] == "r-xp" and ".so" in line
        elif is_code and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found

mapped()
before = mapped()
forget_code()
print(before, mapped())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it does nothing")
def test_code_that_is_not_called_again_leaves_the_memory() -> None:
    said = subprocess.run(
        [sys.executable, "-c", FORGET], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr

    before, after = (int(kilobytes) for kilobytes in said.stdout.split())
    assert 0 < after < before / 2
