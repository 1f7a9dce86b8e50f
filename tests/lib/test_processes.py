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

FILL = """
import ctypes
from opsportal.lib.processes import _libc, _MallocInfo, fill_gaps

_libc.malloc.restype = ctypes.c_void_p
taken = [_libc.malloc(200 + count % 800) for count in range(20_000)]
for place in taken[::2]:
    _libc.free(ctypes.c_void_p(place))
_libc.mallinfo2.restype = _MallocInfo

def gaps():
    told = _libc.mallinfo2()
    return (told.fordblks - told.keepcost) // 1024

before = gaps()
fill_gaps()
print(before, gaps())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere they do nothing")


def said(program: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    before, after = (int(kilobytes) for kilobytes in done.stdout.split())
    return before, after


def test_code_that_is_not_called_again_leaves_the_memory() -> None:
    before, after = said(FORGET)

    assert 0 < after < before / 2


def test_what_is_forked_allocates_beside_what_it_shares() -> None:
    before, after = said(FILL)

    assert before > 4_000
    assert after < before / 20
