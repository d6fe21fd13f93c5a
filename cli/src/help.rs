//! What stands below the options in the help of each command.

pub const MAIN: &str = "\
Examples:
  kdumpfile info                          a tour without a dump: the built-in sample
  kdumpfile info vmcore                   what happened, where, and what is missing
  kdumpfile info part1 part2 part3        a split dump: name all of its parts
  kdumpfile attr vmcore --key linux.uts   facts about the dump, by name
  kdumpfile hash vmcore                   are these two dumps the same memory?
  kdumpfile search vmcore 'Linux version' where in memory is this text?
  kdumpfile read vmcore --phys 0x1000 64  bytes of memory
  kdumpfile read vmcore --symbol init_uts_ns 256
  kdumpfile xlat vmcore ffffffff81000000  the physical address of a virtual one
  kdumpfile regs vmcore                   registers of the CPUs
  kdumpfile domains vmcore                what ran under Xen
  kdumpfile info ram.bin --raw-at 0x80000000:aarch64     a file of nothing but memory
  kdumpfile hash vm.save --set file.qemu.below_4g=2G     ... of a VM with max-ram-below-4g=2G

--set tells what a dump does not say, before it is opened; for example
  arch.name, arch.byte_order (0 big, 1 little), arch.page_size: what the machine was
  file.zero_excluded=1: pages that were left out read as zeros
  file.qemu.below_4g, file.qemu.above_4g, file.qemu.blocks (NAME@ADDRESS,...): where
  the RAM of a virtual machine was, if neither its type nor its description tells
Numbers are decimal, or hex after 0x, and K, M and G multiply by 1024; addresses are hex.

'sample:' in the place of a FILE is the built-in sample.
Exit codes: 0 done, 1 the dump says no (data missing or corrupt), 2 wrong usage.";

pub const INFO: &str = "\
Examples:
  kdumpfile info
  kdumpfile info /var/crash/202611240328/vmcore
  kdumpfile info --json vmcore | jq -r .kernel.release

JSON (what is not known is null):
  files          list of names; [\"sample:\"] for the built-in sample
  archives       what each file was packed with (\"gzip\", ...; null: it was not packed)
  sample         whether this is the built-in sample
  file_bytes     size of all files
  format         name, description
  arch           name, inferred (from what, if the dump does not say it),
                 byte_order (\"little\", \"big\"), pointer_bytes, page_bytes
  kernel         sysname, release, version, machine, nodename, build_id
  layout         os (\"linux\", \"xen\"), page_tables (format and bits of an address), and
                 direct_map, kernel_text: {first, last} in hex; 'maps' shows all of it
  crash_time     unix (seconds), utc
  memory         ram_pages, present_pages, excluded_pages (RAM that is not present), max_pfn
  codecs         pages (codec -> number), looked_at (pages), sampled (whether not
                 all pages were looked at)
  cpus           number, list of {cpu, pid, register, value (hex)}: instruction pointers
  missing        list of {what, text}";

pub const ATTR: &str = "\
Examples:
  kdumpfile attr vmcore
  kdumpfile attr vmcore --key arch.page_size --key cpu.0.reg
  kdumpfile attr --json vmcore --key linux.vmcoreinfo.SYMBOL | jq -r 'keys[]'

JSON: one object; the full path of each attribute leads to {\"type\", \"value\"}:
  directory  no value
  string     text
  number     number
  address    hex digits
  bitmap     list of inclusive ranges [first, last]
  blob       \"size\", \"sha256\" and \"hex\" (its first 8192 bytes) instead of \"value\"
An attribute that cannot be computed has \"error\" instead.";

pub const PAGES: &str = "\
Examples:
  kdumpfile pages vmcore
  kdumpfile pages vmcore --memory
  kdumpfile pages --json part1 part2 | jq '[.ranges[] | .[1] - .[0] + 1] | add'

A PFN is a physical address divided by the page size.
JSON: {\"page_size\": bytes, \"ranges\": [[first, last], ...]}, both inclusive.";

pub const HASH: &str = "\
Examples:
  kdumpfile hash vmcore
  kdumpfile hash part1 part2 part3 --threads 8
  kdumpfile hash --json vmcore | jq -r .sha256

The pages that 'kdumpfile pages' lists are read by machine physical address, in
ascending order: dumps of one memory in different formats have one hash, if they
hold the same pages. Pages that cannot be read are left out and reported.
JSON: {\"pages\": number that were read, \"page_size\": bytes, \"sha256\": hex}, and
after failures \"failed\" (number of pages) and \"error\" (about the first of them).";

pub const SEARCH: &str = "\
Examples:
  kdumpfile search vmcore 'Linux version'
  kdumpfile search vmcore --u64 0xffff888001234000      who points to this?
  kdumpfile search vmcore --hex 'de ad be ef' --limit 10
  kdumpfile search vmcore --regex 'root:[^:\\n]{1,100}:0:0:'
  kdumpfile search --json vmcore BUG: | jq -r '.matches[].kvaddr'

All pages in the dump are searched by machine physical address, in ascending order;
pages that follow each other are one piece of memory, so matches may cross their
borders. A line has the physical address, the virtual one in the kernel's direct map
('-': not mapped), how many bytes match, and the bytes. Of a text, bytes or a number
every place is listed, even if two overlap; matches of a regular expression do not
overlap. In it '.' is any byte but a newline, and (?i) at its start ignores case.
Pages that cannot be read are left out and reported.
JSON: {\"matches\": list of {\"address\": hex, \"kvaddr\": hex or null, \"length\": bytes,
\"bytes\": hex (at most 64 of them)}, \"pages\": number that were searched, \"limited\":
whether --limit ended it, \"failed\": number of pages, \"error\": text or null}.";

pub const READ: &str = "\
Examples:
  kdumpfile read vmcore --phys 0x1000 256
  kdumpfile read vmcore --phys 0x1000000 4K --raw > page.bin
  kdumpfile read part1 --part part2 --part part3 --machine 0x2a10000 4K
  kdumpfile read vmcore --virt 0xffff888001234000 64
  kdumpfile read vmcore --symbol linux_banner 64 --system-map System.map
  kdumpfile read --json sample: --phys 0x211fa00 64 | jq -r .bytes

Symbols are those of VMCOREINFO (few), of --kallsyms and of --system-map.
Reading stops at the first page that is not in the dump; what was read until
then is written, the reason goes to standard error, and the exit code is 1.
JSON: {\"address\": hex, \"length\": bytes asked for, \"bytes\": hex, \"error\": text or null}.";

pub const XLAT: &str = "\
Examples:
  kdumpfile xlat vmcore ffffffff81000000 init_uts_ns+4
  kdumpfile xlat vmcore --from kphys 1000000 --to kv
  kdumpfile xlat vmcore --walk ffffc90000000000
  kdumpfile xlat vmcore --root 1a2b000 --walk 7f0012345678
  kdumpfile xlat --json vmcore _stext --kallsyms kallsyms.txt | jq -r '.[].kphys'

--root is what the page-table register of a CPU held (cr3, ttbr0, satp's table), and
any virtual address may be given with it. A word of hex digits is a number.
The exit code is 1 if any of the addresses cannot be translated.
JSON: a list of {\"kvaddr\", \"kphys\", \"machphys\"} in hex (null: not asked for, or not
mapped), \"error\" (text or null), \"symbol\" if it was one, and after --walk \"walk\":
  method, format  PGT, x86_64:12,9,9,9,9 (bits of an address, page offset first)
  root            space and address of the top-level table
  levels          list of {level, name, index, space, address, entry, flags}; 1 is the
                  level of pages; entry is null if it could not be read
  page_bytes      what the last entry maps; null if the walk failed
  error           why the walk failed, or null
For an address that no page tables are known for, \"walk\" is {\"method\", \"error\"}.";

pub const MAPS: &str = "\
Examples:
  kdumpfile maps vmcore
  kdumpfile maps vmcore --os xen
  kdumpfile maps --json vmcore | jq '.methods[] | select(.kind == \"linear\")'

JSON: {\"os\", \"arch\", \"maps\", \"methods\", \"regions\", \"error\"}; addresses are hex:
  maps     list of {name, from (space), ranges: [{first, last, method (null: none)}]}
  methods  list of {name, to (space), kind} and, by kind, offset (linear); format,
           root, pte_mask (page table); elements (lookup); base, shift (array)
  regions  list of {name, first, last (null: not known), source: a method, what the
           kernel exports, or the documentation of places that this kernel never moves}
  error    why the set-up is not complete, or null";

pub const REGS: &str = "\
Examples:
  kdumpfile regs vmcore
  kdumpfile regs vmcore 0
  kdumpfile regs --json vmcore | jq -r '.[].registers.rip'

JSON: a list of {\"cpu\", \"pid\" (or null), \"registers\": {name: hex}}.";

pub const DOMAINS: &str = "\
Examples:
  kdumpfile domains vmcore
  kdumpfile domains guest.xc_core
  kdumpfile domains --json vmcore | jq -r '.domains[] | select(.dom0) | .address'
  kdumpfile domains vmcore --vmcoreinfo xen.txt
  kdumpfile domains vmcore --set xen.phys_start=2000000

When the hypervisor crashes, the dump has the memory of the whole machine. Where its
list of domains is says the hypervisor's own VMCOREINFO ('kdumpfile vmcoreinfo --os
xen'); the addresses are those of struct domain, as the hypervisor sees them, for
'xlat --os xen' and 'read --virt --os xen'. A dump that Xen's tools made of a domain
has that domain alone.
The list ends where it cannot be read any further; the reason goes to standard error,
and the exit code is 1.
JSON (what is not known is null):
  scope    \"system\" (the whole machine) or \"domain\"
  version  of Xen
  cpus     number of physical CPUs with registers in the dump
  p2m_mfn  machine frame that leads to the frames of dom0 (hex)
  domains  for \"system\" a list of {id, address (hex), dom0, name (of reserved ids)},
           for \"domain\" one of {type (\"PV\"; \"HVM\", or any whose frames Xen
           translates), vcpus, pages}
  error    why the list is not complete, or null";

pub const VMCOREINFO: &str = "\
Examples:
  kdumpfile vmcoreinfo vmcore
  kdumpfile vmcoreinfo memory.elf --scan
  kdumpfile vmcoreinfo memory.elf --use 2 > vmcoreinfo.txt
  kdumpfile xlat memory.elf --vmcoreinfo vmcoreinfo.txt _stext

Dumps of a hypervisor often lack VMCOREINFO although it is in the memory of the
guest, and a dump in which a capture kernel has run has that of two kernels.
JSON: {\"os\", \"bytes\", \"text\"}, and after --scan a list of {\"number\", \"address\"
(physical, hex), \"kind\" (\"note\", \"text\"), \"os\", \"osrelease\", \"bytes\", \"same_as\"
(number of an equal one before it, or null), \"in_dump\" (whether the dump itself
has this one)}.";
