#!/usr/bin/env python3
"""What a program that was built with the public headers relies on, as a table: abi.py [--update] [HEADERS [TABLE]]

One line for each constant of an enum, each function's prototype, and each struct's size, alignment and members with offset,
size and type, as the compiler (CC, or cc) sees them. Compared with packaging/libboltpool.abi; a difference that would break
programs is told apart from one that only adds. --update writes the table. `--self-test` shows that each kind of change
is found, and what it is taken for.

What may be added: enum constants with new numbers, functions, structs, and members at the end of a struct that begins with
struct_size (by it the library knows what its caller has). All else needs a new SOVERSION.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "packaging/libboltpool.abi"
HEAD = "# Sizes and offsets of a 64-bit machine; made by `make symbols`, see packaging/README.md.\n"
WORD = r"[A-Za-z_]\w*"


def compiler():
    return os.environ.get("CC", "cc").split()


def declarations(include):
    """The declarations of include/boltpool/*.h as the preprocessor leaves them, without attributes."""
    source = "".join(f"#include <boltpool/{path.name}>\n" for path in sorted((include / "boltpool").glob("*.h")))
    text = subprocess.run([*compiler(), "-E", "-x", "c", "-std=c11", f"-I{include}", "-"], input=source, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    ours, kept = False, []
    for line in text.splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            ours = pathlib.Path(marker[1]).parent.name == "boltpool"
        elif ours:
            kept.append(line)
    text = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", " ", " ".join(kept))
    return [" ".join(one.split()) for one in split(text, ";")]


def split(text, separator):
    """Splits where no bracket is open; drops what is empty."""
    parts, depth, begin = [], 0, 0
    for at, char in enumerate(text):
        depth += (char in "({[") - (char in ")}]")
        if char == separator and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    parts.append(text[begin:])
    return [part.strip() for part in parts if part.strip()]


def members(body, prefix=""):
    """(path, type) of all members, those of nested structs and unions too: as.text ..."""
    for one in split(body, ";"):
        nested = re.match(r"(struct|union)\s*\{(.*)\}\s*(\w*)$", one)
        if nested:
            path = prefix + nested[3]
            if nested[3]:
                yield path, nested[1]
            yield from members(nested[2], path + "." if nested[3] else prefix)
            continue
        function = re.search(rf"\(\s*\*\s*({WORD})\s*\)\s*\(", one)
        if function:
            yield prefix + function[1], stars(one)
            continue
        base = ""
        for declarator in split(one, ","):
            name = re.search(rf"({WORD})\s*((?:\[[^\]]*\]\s*)*)$", declarator)
            kind = declarator[:name.start()].strip()
            base = base or kind.rstrip("* ")
            yield prefix + name[1], stars((kind if kind.startswith(base) else f"{base} {kind}") + name[2])


def prototype(text):
    """A function's type: without the names of its arguments, which nobody relies on."""
    head, arguments = text.rstrip(" )").split("(", 1)
    kinds = [one if "(" in one else re.sub(rf"(?<=[ *]){WORD}((?:\[[^\]]*\])*)$", r"\1", one)
             for one in split(arguments, ",")]
    return stars(f"{head.strip()}({', '.join(kind.strip() for kind in kinds)})")


def stars(text):
    text = re.sub(r"\s*\*\s*", " *", text)
    return re.sub(r"\( \*", "(*", text.replace("* *", "**")).strip()


def table(include):
    """{line's key: its value}: enum, function, struct and member lines."""
    probes, lines = [], {}
    for one in declarations(include):
        enum = re.match(rf"enum ({WORD}) \{{(.*)\}}$", one)
        struct = re.match(rf"struct ({WORD}) \{{(.*)\}}$", one)
        if enum:
            for constant in split(enum[2], ","):
                name = re.match(WORD, constant)[0]
                probes.append(f'printf("enum {enum[1]} {name}\\t%d\\n", (int){name});')
        elif struct:
            name = struct[1]
            probes.append(f'printf("struct {name}\\t%zu %zu\\n", sizeof(struct {name}), _Alignof(struct {name}));')
            for path, kind in members(struct[2]):
                probes.append(f'printf("member {name} {path}\\t%zu %zu {kind}\\n", offsetof(struct {name}, {path}), '
                              f"sizeof(((struct {name} *)0)->{path}));")
        elif one.startswith("typedef"):
            function = re.search(rf"\(\s*\*\s*({WORD})\s*\)\s*\(", one)
            name = function[1] if function else one.split()[-1]
            lines[f"typedef {name}"] = stars(one)
        elif re.search(r"\bbp_\w+ ?\(", one):
            name = re.search(r"\b(bp_\w+) ?\(", one)[1]
            lines[f"function {name}"] = prototype(one)
    program = "\n".join(["#include <stdio.h>", *(f"#include <boltpool/{path.name}>"
                                               for path in sorted((include / "boltpool").glob("*.h"))),
                         "int main(void)\n{", *probes, "return 0;\n}"])
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "abi.c")
        file.write_text(program)
        subprocess.run([*compiler(), "-std=c11", f"-I{include}", "-o", file.with_suffix(""), file], check=True)
        output = subprocess.run([file.with_suffix("")], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        key, value = line.split("\t")
        lines[key] = value
    return lines


def write(lines, path):
    """Sorted by what they are of; a struct's members as they lie in memory."""
    def order(item):
        kind, name = item[0].split()[:2]
        rank = {"member": "struct"}.get(kind, kind)
        offset = int(item[1].split()[0]) if kind == "member" else -1
        value = int(item[1]) if kind == "enum" else 0
        return rank, name, kind == "member", offset, value, item[0]
    path.write_text(HEAD + "".join(f"{key}\t{value}\n" for key, value in sorted(lines.items(), key=order)))


def read(path):
    return dict(line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#"))


def compare(old, new):
    """(what breaks programs, what only adds), as sentences."""
    breaks, adds = [], []
    growing = {key.split()[1] for key in old if key.startswith("member ") and key.endswith(" struct_size")}
    for key in sorted(old.keys() | new.keys()):
        kind, name = key.split()[:2]
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        if now is None:
            breaks.append(f"{key} is gone")
        elif was is not None:
            if kind == "struct" and name in growing and int(now.split()[0]) > int(was.split()[0]):
                adds.append(f"{key} has grown: {was} -> {now}")
            else:
                breaks.append(f"{key} has changed: {was} -> {now}")
        elif kind == "member" and f"struct {name}" in old:
            # Inside the old size, nothing was there but a gap that callers may not have zeroed.
            begin, old_size = int(now.split()[0]), int(old[f"struct {name}"].split()[0])
            inside = any(key.startswith(f"member {name} {path}.") for path in
                         {k.split()[2] for k in old if k.startswith(f"member {name} ")})
            if name in growing and begin >= old_size and not inside:
                adds.append(f"{key} is new at its end")
            else:
                breaks.append(f"{key} is new in a struct that can't grow there")
        else:
            adds.append(f"{key} is new")
    return breaks, adds


def check(include, path, update):
    if sys.maxsize != 2**63 - 1:
        print("abi: the table is that of a 64-bit machine; nothing compared here")
        return 0
    new = table(include)
    if not any(key.startswith("struct ") for key in new):
        print(f"abi: no struct found in {include}/boltpool")
        return 1
    breaks, adds = compare(read(path), new) if path.exists() else ([], ["the table itself is new"])
    for what, findings in (("BREAKS", breaks), ("adds", adds)):
        for finding in findings[:20]:
            print(f"abi: {what}: {finding}")
        if len(findings) > 20:
            print(f"abi: {what}: ... and {len(findings) - 20} more")
    if update:
        write(new, path)
        print(f"abi: {path.name} has {len(new)} lines")
        return 0
    if breaks:
        print("abi: programs that were built with a released version break by this. Take it back, or raise SOVERSION in "
              "CMakeLists.txt;\n     before the release that has them they may change freely. Then: make symbols")
    elif adds:
        print("abi: this only adds to what programs rely on. Write it down: make symbols")
    else:
        print(f"abi: {len(new)} lines as in {path.name}")
    return 1 if breaks or adds else 0


def self_test():
    base = """#include <stddef.h>
enum bp_kind { BP_KIND_A, BP_KIND_B };
struct bp_fixed { int one; union { double real; struct { char data[3]; } in; } as; int (*call)(void *user, int x); };
struct bp_growing { size_t struct_size; const char *const *names; unsigned a, b; };
__attribute__((visibility("default"))) int bp_do(const char *text, ...) __attribute__((format(printf, 1, 2)));
"""
    cases = {  # what is replaced: whether it breaks (None: no difference)
        ("", ""): None,
        ("/* a comment */ ", ""): None,
        ("BP_KIND_B }", "BP_KIND_B, BP_KIND_C }"): False,
        ("BP_KIND_A, BP_KIND_B", "BP_KIND_B, BP_KIND_A"): True,
        ("{ BP_KIND_A, ", "{ "): True,
        ("int one;", "long one;"): True,
        ("char data[3]", "char data[4]"): True,
        ("double real;", "double real; char more;"): True,
        ("(void *user, int x);", "(void *user, int x); int more;"): True,
        ("unsigned a, b;", "unsigned a, b; unsigned c;"): False,
        ("unsigned a, b;", "unsigned b, a;"): True,
        ("unsigned a, b;", "unsigned c, a, b;"): True,
        ("__attribute__((visi", "int bp_new(void);\n__attribute__((visi"): False,
        ("bp_do(", "bp_undo("): True,
        ("char *text, ...", "char *words, ..."): None,
        ("unsigned a, b;", "unsigned a; int b;"): True,
        ("const char *const *names;", "char *const *names;"): True,
        ("(void *user, int x);", "(void *user, long x);"): True,
        ("bp_do(const char *text,", "bp_do(char *text,"): True,
        ("struct bp_fixed {", "struct bp_new { int x; };\nstruct bp_fixed {"): False,
    }
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        header = pathlib.Path(folder, "boltpool/a.h")
        header.parent.mkdir()
        header.write_text(base)
        old = table(pathlib.Path(folder))
        for (before, after), expected in cases.items():
            header.write_text(base.replace(before, after, 1))
            breaks, adds = compare(old, table(pathlib.Path(folder)))
            got = True if breaks else False if adds else None
            if got != expected:
                wrong += 1
                print(f"self-test: {before!r} -> {after!r} is taken for {got}, not {expected}: {breaks + adds}")
    return wrong == 0


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    if len(arguments) > 2:
        sys.exit(__doc__)
    if "--update" not in sys.argv and not self_test():
        return 1
    if "--self-test" in sys.argv:
        return 0
    include = pathlib.Path(arguments[0]) if arguments else ROOT / "include"
    return check(include, pathlib.Path(arguments[1]) if len(arguments) > 1 else TABLE, "--update" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
