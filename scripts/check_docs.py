#!/usr/bin/env python3
"""Holds the documents against the program: check_docs.py PATH/TO/boltpool

1. The option table of docs/configuration.md is what `boltpool config reference` prints (--write puts it there).
2. packaging/boltpool.ini, and every ```ini block with a [cluster], passes `boltpool config check`.
3. Each text that begins with "boltpool: " and may reach a driver stands in README.md's troubleshooting.
4. Each relative link leads to a file, and to a heading or an anchor where it names one.
5. Each file of docs/ can be reached from README.md.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN = "<!-- made by `boltpool config reference`: begin -->\n"
END = "<!-- end -->\n"


def documents():
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def check_table(program, write):
    path = ROOT / "docs/configuration.md"
    table = subprocess.run([program, "config", "reference"], check=True, stdout=subprocess.PIPE, text=True).stdout
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not end:
        yield f"{path.name}: the markers of the option table are missing"
    elif write:
        path.write_text(before + BEGIN + table + END + after, encoding="utf-8")
    elif old != table:
        yield f"{path.name}: the option table is not what the program prints; run scripts/check_docs.py --write"


def check_examples(program):
    examples = [("packaging/boltpool.ini", (ROOT / "packaging/boltpool.ini").read_text(encoding="utf-8"))]
    for path in documents():
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^( *)```ini\n(.*?)^ *```", text, re.M | re.S):
            indent, block = match.groups()
            if "[cluster " in block:
                line = text.count("\n", 0, match.start()) + 1
                examples.append((f"{path.relative_to(ROOT)}:{line}", re.sub(rf"^{indent}", "", block, flags=re.M)))
    if len(examples) < 3:
        yield "the examples are gone: packaging/boltpool.ini and README.md should have some"
    for name, text in examples:
        with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([program, "config", "check", file.name], stderr=subprocess.PIPE, text=True,
                                  stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            yield f"{name}: {done.stderr.strip()}"


def check_refusals():
    """The part of each text before its first number or name is what a reader would search for."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    seen = 0
    for path in sorted((ROOT / "src/proxy").glob("*.c")):
        for match in re.finditer(r'"(boltpool: (?:\\.|[^"\\])*)"((?:\s*"(?:\\.|[^"\\])*")*)', path.read_text()):
            text = match.group(1) + "".join(re.findall(r'"((?:\\.|[^"\\])*)"', match.group(2)))
            head = text.split("%")[0].rstrip(" (")
            seen += 1
            # A text that begins with a name is known by the longest piece between names.
            pieces = re.split(r"%[-.*0-9lzj]*[a-zA-Z]?", text.removeprefix("boltpool:"))
            wanted = head if head != "boltpool:" else max(pieces, key=len).strip()
            if wanted and " ".join(wanted.split()) not in readme:
                yield f"README.md: nothing says what to do about {wanted!r} ({path.relative_to(ROOT)})"
    if seen == 0:
        yield "no refusal found in src/proxy: has their form changed?"


def anchors(path):
    """What a link may name in a document: its headings, as GitHub writes them, and <a id>."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)", text, re.M))
    return {*headings, *re.findall(r'<a id="([^"]+)">', text)}


def check_links():
    reached, known = {ROOT / "README.md"}, {}
    for path in [*documents(), *sorted(ROOT.glob("*/README.md"))]:
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            file = (path.parent / target).resolve() if target else path
            reached.add(file)
            if not file.exists():
                yield f"{path.relative_to(ROOT)}: the link to {target} leads nowhere"
            elif anchor and file.suffix == ".md":
                if file not in known:
                    known[file] = anchors(file)
                if anchor not in known[file]:
                    yield f"{path.relative_to(ROOT)}: {file.name} has no heading or anchor #{anchor}"
    for path in sorted((ROOT / "docs").rglob("*.md")):
        if path not in reached:
            yield f"{path.relative_to(ROOT)}: no document leads there"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if len(arguments) > 1:
        sys.exit(__doc__)
    program = arguments[0] if arguments else str(ROOT / "build/boltpool")
    checks = [check_table(program, "--write" in sys.argv), check_examples(program), check_refusals(), check_links()]
    failed = 0
    for check in checks:
        findings = list(check)
        failed += bool(findings)
        for finding in findings:
            print(finding)
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
