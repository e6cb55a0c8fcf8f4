"""Move the variables that kernels declare ``__shared__`` into the section ``simt_shared`` of their object file.

``python mark_shared.py compiled.o marked.o``. The emulator's ``__shared__`` aligns a variable to 512 bytes, and the
compiler gives each variable a section (-fdata-sections), so that these are the sections of zeros that are aligned so.
Each is also made longer, which leaves room behind it for ``build.load`` to guard.
"""

import struct
import subprocess
import sys
from pathlib import Path

ALIGNMENT = 512
NOBITS = 8  # sh_type of a section of zeros, which takes no room in the file


def mark(elf: bytearray) -> list[str]:
    """Lengthen the sections of shared variables in a 64-bit object file, and return their names."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, n_entries, names_at = struct.unpack_from("<HHH", elf, 0x3A)
    if n_entries == 0:  # more than fit here: the first entry has the numbers
        (n_entries,) = struct.unpack_from("<Q", elf, table + 0x20)
    if names_at == 0xFFFF:
        (names_at,) = struct.unpack_from("<I", elf, table + 0x28)
    (names,) = struct.unpack_from("<Q", elf, table + names_at * entry_size + 0x18)
    found = []
    for entry in range(table, table + n_entries * entry_size, entry_size):
        name_at, kind = struct.unpack_from("<II", elf, entry)
        (alignment,) = struct.unpack_from("<Q", elf, entry + 0x30)
        if kind == NOBITS and alignment == ALIGNMENT:
            (size,) = struct.unpack_from("<Q", elf, entry + 0x20)
            struct.pack_into("<Q", elf, entry + 0x20, size + ALIGNMENT)
            start = names + name_at
            found.append(elf[start : elf.index(b"\0", start)].decode())
    return found


def main() -> None:
    compiled, marked = sys.argv[1:]
    elf = bytearray(Path(compiled).read_bytes())
    renames = [f"--rename-section={name}=simt_shared" for name in sorted(set(mark(elf)))]
    Path(marked).write_bytes(elf)
    subprocess.run(["objcopy", *renames, marked], check=True)


if __name__ == "__main__":
    main()
