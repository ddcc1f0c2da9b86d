"""What the processors of the beds' servers say of themselves in /proc/cpuinfo and /sys/devices/system/cpu."""

from dataclasses import dataclass
from pathlib import Path

ARM_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics cpuid"
X86_FLAGS = "fpu vme de pse tsc msr pae mce cx8 apic sep sse sse2 ht lm aes avx avx2 sm3 sm4"


@dataclass(frozen=True)
class Processor:
    """A processor as servers have it: what each of its cores tells, how many there are, and the memory beside it.

    `architecture` names the image, as Debian does; `machine` is what `uname -m` answers. Without cores the
    server shows the machine's own processor and memory.
    """

    architecture: str
    machine: str
    cores: int = 0
    memory_gib: int = 0
    core: str = ""
    preamble: str = ""

    def write(self, folder: Path) -> None:
        """Write what lies over the machine's own: files `cpuinfo` and `meminfo`, folder `cpu`."""
        (folder / "cpuinfo").write_text(self._cpuinfo())
        kib = self.memory_gib << 20
        free = {"MemTotal": kib, "MemFree": kib - (8 << 20), "MemAvailable": kib - (8 << 20), "SwapTotal": 0}
        (folder / "meminfo").write_text("".join(f"{name + ':':<15}{size:>9} kB\n" for name, size in free.items()))
        cpu = folder / "cpu"
        cpu.mkdir()
        for name in ("online", "possible", "present"):
            (cpu / name).write_text(f"0-{self.cores - 1}\n")
        (cpu / "kernel_max").write_text("8191\n")
        for number in range(self.cores):
            topology = cpu / f"cpu{number}" / "topology"
            topology.mkdir(parents=True)
            (topology / "core_id").write_text(f"{number}\n")
            (topology / "physical_package_id").write_text("0\n")
            (topology / "thread_siblings").write_text(self._mask(1 << number))
            (topology / "core_siblings").write_text(self._mask((1 << self.cores) - 1))

    def _cpuinfo(self) -> str:
        cores = (self.core.format(number=number, cores=self.cores) for number in range(self.cores))
        lines = [line.partition(": ") for line in (self.preamble + "\n".join(cores)).splitlines()]
        return "".join(f"{name}\t{colon}{value}\n" if colon else "\n" for name, colon, value in lines)

    def _mask(self, bits: int) -> str:
        """A set of cores as sysfs writes it: words of 32 bits, the highest first."""
        words = [f"{bits >> shift & 0xFFFFFFFF:08x}" for shift in range(0, self.cores, 32)]
        return ",".join(reversed(words)) + "\n"


def _x86(vendor: str, family: int, model: int, name: str) -> str:
    return f"""\
processor: {{number}}
vendor_id: {vendor}
cpu family: {family}
model: {model}
model name: {name}
stepping: 1
cpu MHz: 2500.000
cache size: 512 KB
physical id: 0
siblings: {{cores}}
core id: {{number}}
cpu cores: {{cores}}
fpu: yes
flags: {X86_FLAGS}
bogomips: 5000.00
"""


def _arm(implementer: str, part: str, name: str = "") -> str:
    return f"""\
processor: {{number}}
{name}BogoMIPS: 200.00
Features: {ARM_FEATURES}
CPU implementer: {implementer}
CPU architecture: 8
CPU variant: 0x1
CPU part: {part}
CPU revision: 0
"""


LOONGSON = """\
processor: {number}
package: 0
core: {number}
global_id: {number}
CPU Family: Loongson-64bit
Model Name: Loongson-3C5000
CPU Revision: 0x10
FPU Revision: 0x00
CPU MHz: 2200.00
BogoMIPS: 4400.00
TLB Entries: 2112
Address Sizes: 48 bits physical, 48 bits virtual
ISA: loongarch32 loongarch64
Features: cpucfg lam ual fpu lsx lasx crc32 complex crypto lvz lbt_x86 lbt_arm lbt_mips
"""

PROCESSORS = {
    "x86": Processor("amd64", "x86_64"),
    "hygon": Processor("amd64", "x86_64", 32, 256, _x86("HygonGenuine", 24, 1, "Hygon C86 7285 32-core Processor")),
    "zhaoxin": Processor("amd64", "x86_64", 8, 64, _x86("CentaurHauls", 7, 59, "ZHAOXIN KaiSheng KH-37800D@2.7GHz")),
    "kunpeng": Processor("arm64", "aarch64", 64, 512, _arm("0x48", "0xd01")),
    "phytium": Processor("arm64", "aarch64", 64, 256, _arm("0x70", "0x662", "model name: Phytium,FT-2000+/64\n")),
    "loongson": Processor("loong64", "loongarch64", 16, 128, LOONGSON, "system type: generic-loongson-machine\n\n"),
}
