"""Known holes in the tested versions: ``python tests/audit.py`` asks the package index about all of constraints.txt.

Ends with 1 if a version has a known vulnerability. An index that does not know about vulnerabilities, or cannot be
reached, is told and is no failure: it says nothing about the code.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
SECONDS = 180


def main() -> int:
    """Ask, and print what was found."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--disable-pip",
        "--no-deps",
        "--format",
        "json",
        "-r",
        str(CONSTRAINTS),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        packages = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        print(f"not audited: the package index did not answer within {SECONDS} seconds")
        return 0
    except (ValueError, KeyError):
        print(f"not audited: {(done.stderr.strip().splitlines() or ['pip-audit said nothing'])[-1]}")
        return 0
    holes = [(each["name"], each["version"], hole["id"]) for each in packages for hole in each.get("vulns", ())]
    unknown = sum("skip_reason" in each for each in packages)
    for name, version, hole in holes:
        print(f"{name} {version}: {hole}")
    print(f"{len(packages) - unknown} packages audited, {len(holes)} known holes; the index knows nothing of {unknown}")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
