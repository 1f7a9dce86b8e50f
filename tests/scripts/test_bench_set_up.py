"""Test that benchmarks in one process collect garbage as the portal's processes do."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

PROGRAM = """
import gc
from bench.set_up import set_up_django
set_up_django()
from core.lib.processes import collect_rarely
found = gc.get_threshold()
collect_rarely()
print(gc.get_freeze_count() > 100_000, found == gc.get_threshold(), len(gc.get_objects()) < 1_000)
"""


def test_a_benchmark_freezes_the_loaded_portal_and_collects_as_rarely_as_its_processes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.stdout.split() == ["True", "True", "True"], done.stdout + done.stderr
