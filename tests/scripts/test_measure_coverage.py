"""Test that the report of `make coverage` names untested code through which money or errors could be lost."""

from typing import Any

from scripts.measure_coverage import incomplete


def test_lines_and_branches_of_critical_files_are_named() -> None:
    files: dict[str, dict[str, Any]] = {
        "payments/services/refund.py": {
            "missing_lines": [3, 4, 9],
            "missing_branches": [[2, 3], [12, 20], [14, -1]],
        },
        "payments/services/create.py": {"missing_lines": [], "missing_branches": []},
        "health/tasks.py": {"missing_lines": [1], "missing_branches": []},
    }

    assert incomplete(files) == [
        "payments/services/refund.py: not reached: lines 3-4, 9; branches 12->20, 14->exit"
    ]
