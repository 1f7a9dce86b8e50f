"""What a process does with its memory, and where it runs."""

import os
import subprocess
import sys

import pytest

from opsportal.lib.processes import in_a_child, keep_to_one_core
from tests.servers.portal import ROOT

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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it does nothing")
def test_what_is_forked_allocates_beside_what_it_shares() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    before, after = (int(kilobytes) for kilobytes in done.stdout.split())

    assert before > 4_000
    assert after < before / 20


def _cores_after(number: int) -> set[int]:
    keep_to_one_core(number)
    return os.sched_getaffinity(0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it does nothing")
def test_neighboring_numbers_keep_to_different_cores_where_there_are_several() -> None:
    allowed = os.sched_getaffinity(0)

    kept = [in_a_child(_cores_after, number=number) for number in range(8000, 8000 + len(allowed))]

    assert all(len(cores) == 1 for cores in kept)
    assert set().union(*kept) == allowed
    assert os.sched_getaffinity(0) == allowed


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it does nothing")
def test_where_choosing_cores_is_forbidden_all_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(pid: int, cores: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", forbidden)
    allowed = os.sched_getaffinity(0)

    keep_to_one_core(8000)

    assert os.sched_getaffinity(0) == allowed
