"""What users install with cmlfast: its licences, and whether there are advisories. Run by ``make supply-chain``.

Of the package and its extras alone, in the versions that this environment has, with all that they require. Licences
must be among `ALLOWED`. Where the advisory service cannot be reached this says so, and is no failure; an advisory is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("annoy", "hnsw", "ivf", "map", "report", "serve", "tensorboard", "tune")
ALLOWED = (
    "MIT", "BSD", "0BSD", "Apache", "Python Software Foundation", "PSF", "MPL", "Mozilla Public License", "ISC", "Zlib",
    "CC0", "BSL-1.0", "Public Domain", "Unlicense", "3-Clause BSD",
)  # fmt: skip
WORD = re.compile(r"\s*(?:;|/| AND | OR |,)\s*")


def required() -> dict[str, str]:
    """Return the versions of all that is required, by name; end where some of it is not here to be looked at."""
    unknown = set(EXTRAS) - set(distribution("cmlfast").metadata.get_all("Provides-Extra", ()))
    if unknown:
        sys.exit(f"cmlfast is installed without the extras {', '.join(sorted(unknown))}: install it anew")
    found: dict[str, str] = {}
    waiting = [("cmlfast", extra) for extra in ("", *EXTRAS)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            package = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is required, and not installed: its licence cannot be told")
        if name != "cmlfast":
            found[name] = package.version
        for text in package.requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                more = [(canonicalize_name(requirement.name), one) for one in ("", *requirement.extras)]
                waiting += [one for one in more if one not in seen]
                seen.update(more)
    return found


def not_allowed(names: Iterable[str], licences: dict[str, str]) -> dict[str, str]:
    """Return those packages of which a part of the licence is not among the allowed, or nothing is told."""
    told = {name: licences.get(name, "not told") for name in names}
    return {
        name: licence
        for name, licence in told.items()
        if not all(any(part.upper().startswith(one.upper()) for one in ALLOWED) for part in WORD.split(licence))
    }


def licences(names: Iterable[str]) -> dict[str, str]:
    """Return what packages say, by name."""
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed", "--with-system", "--packages"]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=True)
    return {canonicalize_name(one["Name"]): one["License"] for one in json.loads(done.stdout)}


def advisories(versions: dict[str, str]) -> tuple[list[str], list[str]] | None:
    """Return advisories, and the packages of which nothing could be told; None where nobody answers."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version.partition('+')[0]}\n" for name, version in versions.items())
        file.flush()
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format=json", "-r", file.name]
        try:
            done = subprocess.run(
                [*command, "--progress-spinner=off", "--timeout=10"], capture_output=True, text=True, timeout=90
            )
        except subprocess.TimeoutExpired:
            return None
    if not done.stdout.strip():
        return None
    told = json.loads(done.stdout)["dependencies"]
    silent = [one["name"] for one in told if "skip_reason" in one]
    if len(silent) == len(told):
        return None
    return [f"{one['name']} {one['version']}: {vuln['id']}" for one in told for vuln in one.get("vulns", ())], silent


def main() -> int:
    """Run the command."""
    versions = required()
    bad = not_allowed(versions, licences(versions))
    print(f"licences of {len(versions)} packages: {f'not allowed: {bad}' if bad else 'all allowed'}")
    answer = advisories(versions)
    if answer is None:
        print("advisories not looked up: the service does not answer, or knows none of the packages")
        return 1 if bad else 0
    found, silent = answer
    print(f"advisories: {'; '.join(found) or 'none'}; of {', '.join(silent) or 'no package'} nothing is known")
    return 1 if bad or found else 0


if __name__ == "__main__":
    sys.exit(main())
