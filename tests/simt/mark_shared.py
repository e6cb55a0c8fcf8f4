"""Move the variables that kernels declare ``__shared__`` into the section ``simt_shared`` of their object file.

``python mark_shared.py compiled.o marked.o``. The emulator's ``__shared__`` aligns a variable to 512 bytes, and the
compiler gives each variable a section (-fdata-sections), so that these are the sections of data that are aligned so.
"""

import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ALIGNMENT = 512


def data_sections(elf: bytes) -> Iterator[tuple[str, int]]:
    """Yield the name and the alignment of each writable section of a 64-bit object file."""
    (table,) = struct.unpack_from("<Q", elf, 0x28)
    entry_size, n_entries, names_at = struct.unpack_from("<HHH", elf, 0x3A)
    if n_entries == 0:  # more than fit: the first entry has the numbers
        (n_entries,) = struct.unpack_from("<Q", elf, table + 0x20)
    if names_at == 0xFFFF:
        (names_at,) = struct.unpack_from("<I", elf, table + 0x28)
    (names,) = struct.unpack_from("<Q", elf, table + names_at * entry_size + 0x18)
    for i in range(n_entries):
        entry = table + i * entry_size
        (name_at,) = struct.unpack_from("<I", elf, entry)
        (flags,) = struct.unpack_from("<Q", elf, entry + 0x08)
        (alignment,) = struct.unpack_from("<Q", elf, entry + 0x30)
        if flags & 1:  # SHF_WRITE
            start = names + name_at
            yield elf[start : elf.index(b"\0", start)].decode(), alignment


def main() -> None:
    compiled, marked = sys.argv[1:]
    sections = data_sections(Path(compiled).read_bytes())
    shared = sorted({name for name, alignment in sections if alignment == ALIGNMENT})
    renames = [f"--rename-section={name}=simt_shared" for name in shared]
    subprocess.run(["objcopy", *renames, compiled, marked], check=True)


if __name__ == "__main__":
    main()
