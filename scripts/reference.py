#!/usr/bin/env python3
"""Makes docs/reference.md and docs/reference/*.md from the public headers, and holds the headers to what they must say.

    reference.py --write     writes the pages
    reference.py             are they current, and does every public function say what a caller has to know?
    reference.py --self-test shows that each rule can fail

What a caller has to know: what it does, who owns what goes in and comes out, which threads may call it, how it fails, and
the units of its numbers. `Threads:`, `Errors:`, `Units:` and `Owns:` in the head of a header hold for all its functions; what
comes out is said at each. A comment holds for all prototypes up to the next comment or blank line. One that begins with
"Each " holds up to the blank line, whatever other comments stand between.
"""
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LABELS = "Owns|Threads|Errors|Units|Returns|Forks|Signals"
LABEL = re.compile(rf"(?:^|(?<=\s))({LABELS}): +", re.M)
MADE = "<!-- made of include/boltpool/{} by scripts/reference.py --write -->\n"


@dataclasses.dataclass
class Item:
    """Declarations that one comment is about."""
    kind: str  # function, type, macro
    names: list
    code: str
    comment: str  # without its marks
    each: str = ""  # the comment that begins with "Each " above it


@dataclasses.dataclass
class Header:
    name: str
    head: str
    sections: list  # (title, [Item])

    def items(self):
        return [item for _, items in self.sections for item in items]


# ---- reading ----

def plain(comment):
    """The text of a comment, lines kept."""
    body = comment.strip()[2:-2].rstrip()
    return "\n".join(re.sub(r"^\s*\* ?", "", line) if at else line.lstrip() for at, line in enumerate(body.split("\n"))).strip()


def end_of_declaration(text, at):
    """Behind the ; that ends the declaration, and a comment on its line."""
    depth = 0
    while True:
        if text.startswith("/*", at):
            at = text.index("*/", at) + 2
            continue
        depth += (text[at] in "({") - (text[at] in ")}")
        at += 1
        if text[at - 1] == ";" and depth == 0:
            break
    return at


def name_of(code):
    """(kind, name) of a declaration; None for what isn't shown."""
    bare = " ".join(re.sub(r"/\*.*?\*/", " ", code, flags=re.S).split())
    if bare.startswith("#"):
        return "macro", re.match(r"#\s*define\s+(\w+)", bare)[1]
    if bare.startswith("BP_API"):
        return "function", re.search(r"\b(\w+)\s*\(", bare.replace("BP_PRINTF(", ""))[1]
    if bare.startswith("typedef"):
        function = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", bare)
        return "type", function[1] if function else bare.rstrip(";").split()[-1]
    return ("type", " ".join(bare.split()[:2])) if "{" in bare else None


def parse(name, text):
    head = re.match(r"\s*(/\*.*?\*/)", text, re.S)
    header = Header(name, plain(head[1]) if head else "", [("", [])])
    at = head.end() if head else 0
    comment, each, last = "", "", None
    while at < len(text):
        blank = re.compile(r"\s*").match(text, at)
        if blank[0].count("\n") > 1:
            comment, each, last = "", "", None
        at = blank.end()
        if at == len(text):
            break
        if text.startswith("/*", at):
            end = text.index("*/", at) + 2
            section = re.fullmatch(r"/\* -+ (.*?) -+ \*/", text[at:end])
            if section:
                header.sections.append((section[1], []))
                comment = each = ""
            elif last and "\n" not in blank[0]:
                last.comment = (last.comment + "\n" + plain(text[at:end])).strip()
            else:
                comment = plain(text[at:end])
                each = comment if comment.startswith("Each ") else each
                last = None
            at = end
        elif text[at] == "#":
            end = re.compile(r"(?:[^\n\\]|\\.)*", re.S).match(text, at).end()
            code = text[at:end]
            at = end
            # The guard's macro, and what attributes are made of, are nobody's business.
            if re.match(r"#\s*define\s+BP_", code) and not re.search(r"__attribute__|BP_(API|MUST_CHECK|PRINTF)\b", code):
                last = add(header, last, comment, each, code)
        elif text.startswith('extern "C"', at) or text[at] == "}":
            at = text.index("\n", at)
        else:
            end = end_of_declaration(text, at)
            if name_of(text[at:end]):
                last = add(header, last, comment, each, text[at:end])
            at = end
    header.sections = [(title, items) for title, items in header.sections if items]
    return header


def add(header, last, comment, each, code):
    kind, name = name_of(code)
    if last and last.kind == kind != "type":
        last.names.append(name)
        last.code += "\n" + code
        return last
    item = Item(kind, [name], code, comment, each if each != comment else "")
    header.sections[-1][1].append(item)
    return item


def load(root):
    return [parse(path.name, path.read_text(encoding="utf-8")) for path in sorted((root / "include/boltpool").glob("*.h"))]


def labelled(text):
    """(what stands before the first label, {label: text})."""
    parts = LABEL.split(text)
    labels = {}
    for label, said in zip(parts[1::2], parts[2::2]):
        labels[label] = (labels[label] + " " if label in labels else "") + " ".join(said.split())
    return parts[0].rstrip(), labels


# ---- what must be said ----

def split_arguments(prototype):
    inside = prototype[prototype.index("(", prototype.index("bp_")) + 1:prototype.rindex(")")]
    parts, depth, begin = [], 0, 0
    for at, char in enumerate(inside + ","):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(" ".join(inside[begin:at].split()))
            begin = at + 1
    return parts


def check_function(name, prototype, said, head):
    """What is missing. `said` is its comments' text, `head` the labels of its header's head."""
    returned = re.sub(r"BP_\w+(\([^)]*\))?", "", prototype.split(name)[0]).strip()
    arguments = split_arguments(prototype)

    def has(*patterns):
        return any(re.search(pattern, said) for pattern in patterns)

    if not said.strip():
        yield "has no comment"
        return
    if "Threads" not in head and not has(r"Threads:"):
        yield "doesn't say which threads may call it (Threads:)"
    if (returned in ("int", "int64_t") and "Errors" not in head
            and not has(r"Errors:", r"BP_E_", r"[Nn]egative", r"[Ww]hether", r"False \(0\)", r"-1\b")):
        yield "doesn't say how it fails (Errors:)"
    out = [a for a in arguments if "**" in a]
    if (("*" in returned or "bp_text" in returned or out)
            and not has(r"Owns:", r"[Bb]orrowed", r"[Ss]tatic", r"caller's", r"\bviews?\b", r"live as long")):
        yield "doesn't say who owns what comes out of it (Owns:, borrowed, static)"
    kept = [a for a in arguments if re.match(r"const (char|void|uint8_t|struct \w+) \*", a) or "(*" in a or re.match(r"void \*user$", a)]
    if (any(not a.startswith("const struct") or re.search(r"\*(config|options|params|connector|operation|login|value)\b", a)
            for a in kept) and "Owns" not in head and not has(r"Owns:", r"[Bb]orrow", r"[Cc]op(y|ies|ied)")):
        yield "doesn't say whether it copies or borrows what it is given (Owns:)"
    if re.search(r"_(free|close|release)$", name) and not has(r"[Ff]ree[sd]?\b", r"[Tt]akes", r"Ends"):
        yield "doesn't say what becomes of what it is given (frees, takes)"
    numbers = [a for a in arguments if re.match(r"(bp_usec|size_t|int64_t|uint32_t) \w+$", a)]
    for argument in numbers:
        kind, word = argument.split()
        if kind == "bp_usec" and not (word.endswith("_us") and "Units" in head) and not has(r"Units:", r"micro", r"\b\d* ?us\b"):
            yield f"doesn't say the unit of {word} (Units:)"
        elif word == "size" and "Units" not in head and not has(r"Units:", r"bytes", r"`size`", r"number"):
            yield f"doesn't say the unit of {word} (Units:)"
    if returned == "bp_usec" and not name.endswith("_us") and not has(r"Units:", r"micro"):
        yield "doesn't say the unit of what it returns (Units:)"


def check_header(header):
    _, head = labelled(header.head)
    if not header.head:
        yield f"{header.name}: has no comment at its head"
    for item in header.items():
        if item.kind != "function":
            continue
        said = "\n".join((item.comment, item.each))
        for name, prototype in zip(item.names, re.split(r"(?<=;)\s*", item.code)):
            for finding in check_function(name, prototype, said, head):
                yield f"{header.name}: {name}() {finding}"


# ---- the pages ----

def anchor(name):
    return name.replace(" ", "-").lower()


def wrapped(prototype):
    """A prototype in lines that fit, without what only the compiler reads."""
    prototype = prototype.rstrip(";") + ";"
    text = re.sub(r"^(BP_API|BP_MUST_CHECK|BP_PRINTF\(.*?\)) ", "", " ".join(prototype.split()))
    text = re.sub(r"^BP_MUST_CHECK ", "", text)
    indent = text.find("(") + 1
    lines = [""]
    for word in re.split(r"(?<=,) ", text):
        if lines[-1] and len(lines[-1]) + len(word) > 110:
            lines.append(" " * indent + word)
        else:
            lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


class Pages:
    def __init__(self, headers):
        self.headers = headers
        self.places = {name: header.name for header in headers for item in header.items() for name in item.names}

    def link(self, match, here):
        word = match[0]
        name = word.rstrip("()").lstrip("*")
        place = self.places.get(name) or self.places.get(f"struct {name}") or self.places.get(f"enum {name}")
        if not place:
            return f"`{word}`"
        target = name if name in self.places else next(f"{k} {name}" for k in ("struct", "enum") if f"{k} {name}" in self.places)
        page = "" if place == here else place.replace(".h", ".md")
        return f"[`{word}`]({page}#{anchor(target)})"

    def prose(self, text, here):
        """Markdown of a comment's words: names in code and linked, nothing else with a meaning."""
        parts = re.split(r"(`[^`]*`)", text)
        for at in range(0, len(parts), 2):
            part, made, begin = parts[at], "", 0
            for match in re.finditer(r"\*?\b(?:(?:bp|ret|reterr)_\w+(?:\(\))?|BP_\w+|UV_\w+)", part):
                made += re.sub(r"([*<\[\]|\\])", r"\\\1", part[begin:match.start()]) + self.link(match, here)
                begin = match.end()
            parts[at] = made + re.sub(r"([*<\[\]|\\])", r"\\\1", part[begin:])
        return "".join(parts)

    def paragraphs(self, text, here):
        """Indented lines are code, all else flows."""
        out, lines = [], text.split("\n")
        while lines:
            taken = []
            if not lines[0].strip():
                lines.pop(0)
            elif lines[0].startswith("    "):
                while lines and (lines[0].startswith("    ") or not lines[0].strip()):
                    taken.append(lines.pop(0)[4:])
                out.append("```c\n" + "\n".join(taken).rstrip() + "\n```")
            else:
                while lines and lines[0].strip() and not lines[0].startswith("    "):
                    taken.append(lines.pop(0).strip())
                out.append(self.prose(" ".join(taken), here))
        return out

    def comment(self, text, here):
        words, labels = labelled(text)
        out = self.paragraphs(words, here)
        if labels:
            out.append("\n".join(f"* **{label}:** {self.prose(said, here)}" for label, said in labels.items()))
        return out

    def page(self, header):
        out = [MADE.format(header.name) + f"# {header.name}", f"`#include <boltpool/{header.name}>` · [all headers](../reference.md)",
               *self.comment(header.head, header.name)]
        for title, items in header.sections:
            if title:
                out.append(f"## {title[0].upper()}{title[1:]}")
            each = None
            for item in items:
                if item.each and item.each is not each:
                    each = item.each
                out.append("".join(f'<a id="{anchor(name)}"></a>\n' for name in item.names)
                           + "### " + ", ".join(f"`{name}`" for name in item.names))
                code = item.code
                if item.kind == "function":
                    code = "\n".join(wrapped(one) for one in item.code.split(";\n"))
                out.append("```c\n" + code + "\n```")
                if item.comment:
                    out += self.comment(item.comment, header.name)
                if item.each:
                    out += self.comment(item.each, header.name)
        return "\n\n".join(out) + "\n"

    def index(self):
        out = [MADE.format("*.h") + "# Reference",
               "Every name of the public headers. [library.md](library.md) is the way in; each page says at its top what holds for all "
               "its functions: threads, errors, units, ownership.",
               "| header | what it is for |\n|---|---|\n" + "\n".join(
                   f"| [{h.name}](reference/{h.name.replace('.h', '.md')}) | {self.first(h.head, h.name)} |"
                   for h in self.headers)]
        for kind, title in (("function", "Functions"), ("type", "Types"), ("macro", "Macros")):
            rows = []
            for header in self.headers:
                for item in header.items():
                    for name in item.names if item.kind == kind else []:
                        page = "reference/" + header.name.replace(".h", ".md")
                        said = self.first(item.comment or item.each, header.name)
                        rows.append((name.split()[-1], f"| [`{name}`]({page}#{anchor(name)}) | {said} |"))
            out.append(f"## {title}")
            out.append("| name | |\n|---|---|\n" + "\n".join(row for _, row in sorted(rows)))
        return "\n\n".join(out) + "\n"

    def first(self, text, here):
        """Its first sentence, with links that hold in the index."""
        words = " ".join(labelled(text)[0].split("\n    ")[0].split())
        words = re.match(r"(.*?[.;])(?=\s|$)|.*", words)[0].rstrip(":;")
        return re.sub(r"\]\((?:(\w+\.md))?#", lambda m: f"](reference/{m[1] or here.replace('.h', '.md')}#", self.prose(words, here))

    def all(self):
        pages = {"docs/reference.md": self.index()}
        pages.update({f"docs/reference/{h.name.replace('.h', '.md')}": self.page(h) for h in self.headers})
        return pages


def check_pages(root, headers):
    pages = Pages(headers).all()
    for path, text in pages.items():
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text:
            yield f"{path}: not what the headers say now; run scripts/reference.py --write"
    for path in sorted((root / "docs/reference").glob("*.md")):
        if str(path.relative_to(root)) not in pages:
            yield f"{path.relative_to(root)}: no header is like that any more; delete it"


# ---- does the check fail where it must? ----

def self_test():
    head = "/* A header.\n *\n * Threads: any.\n * Errors: 0 or negative.\n * Units: bytes.\n * Owns: copies.\n */\n"
    cases = [  # head, declarations, how many findings
        (head, "/* Does. */\nBP_API int bp_do(int x);\n", 0),
        (head, "BP_API int bp_do(int x);\n", 1),
        (head, "/* Of both. */\nBP_API int bp_do(int x);\nBP_API int bp_undo(int x);\n", 0),
        (head, "/* Of one. */\nBP_API int bp_do(int x);\n\nBP_API int bp_undo(int x);\n", 1),
        (head, "/* Of one. */\nBP_API int bp_do(int x);\n/* Of another. */\nBP_API const char *bp_get(void);\n", 1),
        (head, "BP_API int bp_do(int x); /* trails */\n", 0),
        (head, "/* Each one. Static. */\nBP_API int bp_do(int x);\n/* More. */\nBP_API const char *bp_get(void);\n", 0),
        (head, "/* Each one. Static. */\nBP_API int bp_do(int x);\n\n/* More. */\nBP_API const char *bp_get(void);\n", 1),
        (head, "/* Makes. */\nBP_API int bp_new(struct bp_x **ret_x);\n", 1),
        (head, "/* Makes. Owns: the caller's. */\nBP_API int bp_new(struct bp_x **ret_x);\n", 0),
        (head, "/* Away. */\nBP_API void bp_free(struct bp_x *x);\n", 1),
        (head, "/* Frees it. */\nBP_API void bp_free(struct bp_x *x);\n", 0),
        (head.replace("Threads", "Reads"), "/* Does. */\nBP_API int bp_do(int x);\n", 1),
        (head.replace("Threads", "Reads"), "/* Does. Threads: any. */\nBP_API int bp_do(int x);\n", 0),
        (head.replace("Errors", "Reads"), "/* Does. */\nBP_API int bp_do(int x);\n", 1),
        (head.replace("Errors", "Reads"), "/* Does. */\nBP_API void bp_do(int x);\n", 0),
        (head.replace("Errors", "Reads"), "/* Does, or BP_E_FULL. */\nBP_API int bp_do(int x);\n", 0),
        (head.replace("Units", "Reads"), "/* Waits. */\nBP_API int bp_wait(bp_usec timeout_us);\n", 1),
        (head, "/* Waits. */\nBP_API int bp_wait(bp_usec timeout);\n", 1),
        (head, "/* Waits. */\nBP_API int bp_wait(bp_usec timeout_us);\n", 0),
        (head.replace("Owns", "Reads"), "/* Says. */\nBP_API int bp_say(const char *text);\n", 1),
        (head.replace("Owns", "Reads"), "/* Says; text is copied. */\nBP_API int bp_say(const char *text);\n", 0),
        (head.replace("Owns", "Reads"), "/* Calls. */\nBP_API int bp_on(void (*call)(void *user), void *user);\n", 1),
        ("", "/* Does. Threads: any. Errors: none. */\nBP_API int bp_do(int x);\n", 1),
        (head, "/* ---- a section ---- */\n\nstruct bp_x;\n/* A type. */\nstruct bp_y {\n    int a; /* one; two */\n};\n"
               "#define BP_Y \\\n    1\n", 0),
    ]
    wrong = 0
    for start, text, expected in cases:
        found = list(check_header(parse("a.h", start + text)))
        if len(found) != expected:
            wrong += 1
            print(f"self-test: {expected} findings expected, not {found}, in:\n{text}")
    header = parse("a.h", head + cases[-1][1])
    if [(t, [i.names for i in items]) for t, items in header.sections] != [("a section", [["struct bp_y"], ["BP_Y"]])]:
        wrong += 1
        print(f"self-test: a section is read as {header.sections}")
    return wrong == 0


def main():
    if not self_test():
        return 1
    if sys.argv[1:] == ["--self-test"]:
        return 0
    if sys.argv[1:] not in ([], ["--write"]):
        sys.exit(__doc__)
    headers = load(ROOT)
    if sys.argv[1:] == ["--write"]:
        (ROOT / "docs/reference").mkdir(exist_ok=True)
        for path, text in Pages(headers).all().items():
            (ROOT / path).write_text(text, encoding="utf-8")
    functions = sum(len(item.names) for header in headers for item in header.items() if item.kind == "function")
    checks = [[finding for header in headers for finding in check_header(header)], list(check_pages(ROOT, headers))]
    if functions == 0:
        checks[0].append("no public function found in include/boltpool")
    for findings in checks:
        print("\n".join(findings), end="\n" if findings else "")
    failed = sum(bool(findings) for findings in checks)
    print(f"reference: {functions} functions in {len(headers)} headers")
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
