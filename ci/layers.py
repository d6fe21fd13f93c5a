#!/usr/bin/env python3
"""Check who imports whom among the top modules of src/.

Reads lines FILE:LINE:CODE (from code-only.awk) on standard input. Reports imports that the layers do not
allow, and cycles among modules whatever the layers say. `error` and the crate root belong to everybody.
"""
import re
import sys

BELOW_DUMP = {"sync", "codec", "io", "cache", "attr", "xlat", "format"}
# Who may use what, from the ground up. Top modules that are not listed may be used by all of them, as
# long as no cycle comes of it.
ALLOWED = {
    "sync": set(),
    "codec": {"sync"},
    "io": {"sync", "codec"},
    "cache": {"sync"},
    "attr": {"sync"},
    "xlat": {"sync"},
    "format": {"sync", "codec", "io", "attr"},
    "dump": BELOW_DUMP,
    "context": BELOW_DUMP | {"dump"},
}
SHARED = {"error", "lib"}


def module_path(file):
    parts = file.split("src/", 1)[1].removesuffix(".rs").split("/")
    return parts[:-1] if parts[-1] == "mod" else parts


def group_heads(text):
    """The first names inside `{...}` whose opening brace stands just before TEXT."""
    depth, heads, head = 0, [], ""
    for char in text:
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth < 0:
                break
        elif depth == 0 and char == ",":
            heads.append(head)
            head = ""
            continue
        if depth == 0:
            head += char
    return [match[0] for match in (re.match(r"\s*(\w+)", head) for head in [*heads, head]) if match]


def imports(file, code):
    """Yields (offset, top module) for each path in CODE that leads through the crate root."""
    path = module_path(file)
    for match in re.finditer(r"\b(crate|(?:super::)*super)\s*::\s*(\w+|\{)", code):
        start, name = match[1], match[2]
        if start != "crate" and start.count("super") < len(path):
            continue
        for head in group_heads(code[match.end() :]) if name == "{" else [name]:
            yield match.start(), head


def find_cycle(graph):
    done = set()

    def visit(module, trail):
        if module in trail:
            return trail[trail.index(module) :] + [module]
        if module in done:
            return None
        for target in sorted(graph.get(module, {})):
            if cycle := visit(target, trail + [module]):
                return cycle
        done.add(module)
        return None

    for module in sorted(graph):
        if cycle := visit(module, []):
            return cycle
    return None


def main():
    files = {}
    for line in sys.stdin:
        file, number, code = line.rstrip("\n").split(":", 2)
        files.setdefault(file, []).append((int(number), code))
    tops = {module_path(file)[0] for file in files if module_path(file)}
    graph, faults = {}, []
    for file, lines in files.items():
        source = (module_path(file) or ["lib"])[0]
        code = "\n".join(text for _, text in lines)
        for offset, target in imports(file, code):
            if target not in tops or target == source or {source, target} & SHARED:
                continue
            number = lines[code.count("\n", 0, offset)][0]
            graph.setdefault(source, {}).setdefault(target, f"{file}:{number}")
            if source in ALLOWED and target in ALLOWED and target not in ALLOWED[source]:
                faults.append(f"{file}:{number}: {source} may not use {target}")
    if cycle := find_cycle(graph):
        steps = [f"{a} -> {b} ({graph[a][b]})" for a, b in zip(cycle, cycle[1:])]
        faults.append("cycle: " + ", ".join(steps))
    print("\n".join(faults), end="\n" if faults else "")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
