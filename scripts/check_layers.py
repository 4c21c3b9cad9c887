#!/usr/bin/env python3
"""Holds every file of src/ and sim/ against the house of docs/architecture.md.

1. #include points up the house only (SEES below); quotes are for the project's files, <boltpool/...> for the
   public headers, and every quoted name starts with its folder.
2. No banned function: each has a safer one, or one door in base/clock.c.
3. No file grows past LINES_MAX: a longer one holds two ideas.

Exit status 0 where all holds. `--self-test` shows that each rule can fail.
"""
import pathlib
import re
import sys
import tempfile

MIDDLE = ["resource", "bolt", "pool", "route", "scale", "observe", "net"]
# What the files of a folder may include, besides their own folder and <boltpool/...>.
SEES = {"base": []}
SEES.update({folder: ["base"] for folder in MIDDLE})
SEES["engine"] = ["base", *MIDDLE]
SEES["client"] = ["base", "bolt", "net"]
SEES["proxy"] = [*SEES["engine"], "engine"]
SEES["admin"] = [*SEES["proxy"], "proxy"]
SEES["sim"] = ["base", "bolt", "net"]
SEES["cli"] = [*SEES["admin"], "admin", "sim"]

BANNED = {
    "strcpy": "snprintf or memcpy with a checked size",
    "strcat": "snprintf",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "gets": "fgets",
    "strtok": "strcspn and strspn",
    "atoi": "strtol and its errors",
    "atol": "strtol and its errors",
    "atof": "strtod and its errors",
    "alloca": "a buffer with a bound",
}
# Functions that ask the system for the time: `now_us` is handed in everywhere else.
CLOCKS = ["time", "clock_gettime", "gettimeofday", "clock", "uv_hrtime"]

LINES_MAX = 1000

INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)
# Comments, strings and characters, so that what people read isn't taken for code.
PROSE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def check_file(root, path):
    relative = path.relative_to(root)
    folder = "sim" if relative.parts[0] == "sim" else relative.parts[1]
    text = path.read_text(encoding="utf-8")
    if folder not in SEES:
        yield f"{relative}:1: folder '{folder}' has no place in the house (scripts/check_layers.py)"
        return
    for match in INCLUDE.finditer(text):
        quote, name = match.groups()
        where = f"{relative}:{line_of(text, match.start())}"
        head = name.split("/")[0]
        if quote == "<":
            if head in SEES and "/" in name:
                yield f'{where}: include the project\'s own <{name}> with quotes'
            continue
        if head == "boltpool":
            yield f'{where}: include the public "{name}" with <>'
        elif "/" not in name or head not in SEES:
            yield f'{where}: "{name}" doesn\'t start with a folder of the house'
        elif head != folder and head not in SEES[folder]:
            sees = ", ".join(SEES[folder]) or "nothing"
            yield f'{where}: {folder} may not see "{name}" (it sees {sees})'
    code = PROSE.sub(blank, text)
    for name, better in BANNED.items():
        for match in re.finditer(rf"(?<![\w.>]){name}\s*\(", code):
            yield f"{relative}:{line_of(code, match.start())}: {name}() is not used here; take {better}"
    if folder != "base":
        for name in CLOCKS:
            for match in re.finditer(rf"(?<![\w.>]){name}\s*\(", code):
                yield (f"{relative}:{line_of(code, match.start())}: {name}() outside base; "
                       "take now_us as an argument, or base/clock.h")
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield f"{relative}:{lines}: {lines} lines; more than {LINES_MAX} are two ideas, give each its file"


def check_tree(root):
    files = [path for top in ("src", "sim") for path in sorted((root / top).rglob("*.[ch]"))]
    return len(files), [finding for path in files for finding in check_file(root, path)]


def self_test():
    """Each rule fails on a file that breaks it, and a clean file passes."""
    broken = {
        "src/pool/a.c": '#include "net/loop.h"\n',
        "src/base/b.c": '#include "pool/pool.h"\n',
        "src/proxy/c.c": '#include "cli/main.h"\n',
        "sim/d.c": '#include "engine/config.h"\n',
        "src/pool/e.c": '#include "pool.h"\n',
        "src/pool/f.c": '#include "boltpool/types.h"\n',
        "src/pool/g.c": "#include <base/clock.h>\n",
        "src/net/h.c": "int f(const char *s)\n{\n    return atoi(s);\n}\n",
        "src/net/i.c": "long f(void)\n{\n    return time(0);\n}\n",
        "src/other/j.c": "\n",
        "src/net/k.c": "\n" * (LINES_MAX + 1),
    }
    clean = {
        "src/base/clock.c": '#include "base/clock.h"\n\n#include <time.h>\nlong f(void) { return time(0); }\n',
        "src/engine/m.c": '#include "engine/link.h"\n\n#include <boltpool/types.h>\n\n#include "net/loop.h"\n'
                          '/* atoi(x) and "strcpy(" are words here */ const char *s = "sprintf(";\n'
                          "int mytime(int);\nint g(struct x *y) { return mytime(1) + y->time(2); }\n",
        "src/cli/n.c": '#include "sim/server.h"\n',
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**broken, **clean}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        found = {finding.split(":")[0] for finding in check_tree(root)[1]}
    wrong = sorted(found ^ set(broken))
    for name in wrong:
        print(f"self-test: {name} should have {'failed' if name in broken else 'passed'}")
    return not wrong


def main():
    if not self_test():
        return 1
    if sys.argv[1:] == ["--self-test"]:
        return 0
    count, findings = check_tree(pathlib.Path(__file__).resolve().parent.parent)
    if count == 0:
        findings = ["no source file found"]
    print("\n".join(findings) if findings else f"layers: {count} files are in their place")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
