"""`make check`: whether a package that is installed here has a known vulnerability (pip-audit).

Without a network, or where the index says nothing of a package, that is said and is no failure.
"""

from __future__ import annotations

import json
import subprocess
import sys

LIMIT_S = 120


def main() -> int:
    """0 where none is known."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, "--timeout", "10"],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        packages = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"audit: not done, no index can be asked ({type(error).__name__})")
        return 0
    unknown = sum("skip_reason" in package for package in packages)
    found = [
        f"audit: {package['name']} {package['version']}: {one['id']}, mended in "
        f"{', '.join(one['fix_versions']) or 'no version'}"
        for package in packages
        for one in package.get("vulns", ())
    ]
    print("\n".join(found), end="\n" if found else "")
    print(
        f"audit: {len(packages)} packages, {len(found)} known vulnerabilities, "
        f"{unknown} that the index does not know"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
