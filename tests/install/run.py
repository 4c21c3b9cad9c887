#!/usr/bin/env python3
"""The library as others get it: installed from a clean tree, moved, and built upon.

    run.py [--static] [--only REGEX]

1. `make install` of a copy of the tree without anything that was built, with PREFIX and DESTDIR: exactly the files of
   files.txt, nothing elsewhere, the libraries that are needed and no others. Then the tree is moved.
2. From the moved copy each example is built by pkg-config, by CMake's find_package and as C++; so is each complete program
   of docs/library.md.
3. All of them, and the Python binding, run on a real server, directly and through boltpool, and print what they say
   that they print (`<...>` stands for anything). One that reaches no server says so and fails.

--static leaves out what needs a server. --only runs the examples whose name matches.
"""
from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "driver"))
from harness import PASSWORD, ROOT, V5, V2026, Neo4j, Pooler, Report, free_port, watchdog, work  # noqa: E402

HERE = Path(__file__).parent
PREFIX = "/opt/boltpool-install-test"
# What Debian's compilers say of the examples has to be nothing.
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Wsign-conversion", "-Werror"]
NEEDED = {"libuv.so.1", "libssl.so.3", "libcrypto.so.3", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2"}
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.c"))


def command(*words: object, **options: object) -> str:
    """Its output; an error carries all that it said."""
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                          **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def clean_environment(**more: str) -> dict[str, str]:
    """Without what would lead a build to another copy of the library."""
    lost = ("PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH", "CPATH", "LIBRARY_PATH", "DESTDIR")
    return {**{name: value for name, value in os.environ.items() if name not in lost}, **more}


# ---- what a program says that it prints ----

def expected_of_comment(text: str) -> str:
    """The indented lines under "Prints" in a file's head."""
    head = re.match(r'(?s)/\*.*?\*/|.*?""".*?"""', text)
    lines = [re.sub(r"^ \*(?: |$)", "", line) for line in head[0].split("\n")]  # type: ignore[index]
    begin = next(i for i, line in enumerate(lines) if line.startswith("Prints"))
    while not lines[begin].startswith("    "):
        begin += 1
    taken = []
    for line in lines[begin:]:
        if not line.startswith("    "):
            break
        taken.append(line[4:])
    # In a Python string a backslash is written twice.
    return "\n".join(taken).replace("\\\\", "\\") if text.startswith("#!") else "\n".join(taken)


def differs(expected: str, printed: str) -> str:
    """"" where it is what was expected; `<...>` stands for anything but nothing in its line."""
    pattern = "".join(".+" if part == "<...>" else re.escape(part) for part in re.split(r"(<\.\.\.>)", expected.rstrip("\n")))
    if re.fullmatch(pattern + "\n", printed):
        return ""
    return f"expected:\n{expected}\nprinted:\n{printed}"


def check_comparison(report: Report) -> None:
    same = [("a\nb", "a\nb\n"), ("a <...>!", "a 17!\n"), ("(x)", "(x)\n")]
    other = [("a\nb", "a\n"), ("a", "a\nb\n"), ("a", "b\n"), ("a <...>!", "a !\n"), ("<...>", "a\nb\n"), ("(x)", "x\n"), ("a", "")]
    wrong = [pair for pair in same if differs(*pair)] + [pair for pair in other if not differs(*pair)]
    head = "/* Title.\n *\n * Prints (more or less):\n *\n *     one\n *       two\n *\n * More.\n */\n    three\n"
    report.check("the comparison of outputs can fail", not wrong and expected_of_comment(head) == "one\n  two", str(wrong))


# ---- installing ----

def install(report: Report) -> Path:
    """Installs a clean copy, looks at what came, and moves it; returns where it is then."""
    source, stage, home = work() / "source", work() / "stage", work() / "moved"
    ignore = shutil.ignore_patterns("build", "build-*", ".git", ".cache", "__pycache__", "node_modules", "target")
    shutil.copytree(ROOT, source, ignore=ignore, symlinks=True)
    stamp = time.time()
    command("make", "install", f"PREFIX={PREFIX}", f"DESTDIR={stage}", cwd=source, env=clean_environment())

    installed = stage / PREFIX.lstrip("/")
    outside = [str(path) for path in stage.rglob("*") if path.is_file() and installed not in path.parents]
    for folder in ("/usr/local", "/usr/lib", "/usr/include", "/etc", "/opt"):
        outside += command("find", folder, "-iname", "*boltpool*", "-newermt", f"@{stamp:.0f}").split()
    report.check("nothing outside PREFIX is written", not outside and not Path(PREFIX).exists(), "\n".join(outside))

    files = sorted(f"{path.relative_to(installed)}{f' -> {os.readlink(path)}' if path.is_symlink() else ''}"
                   for path in installed.rglob("*") if path.is_symlink() or path.is_file())
    wanted = (HERE / "files.txt").read_text().splitlines()
    report.check("what is installed is what files.txt lists", files == wanted,
                 f"not in the list: {sorted(set(files) - set(wanted))}\nnot installed: {sorted(set(wanted) - set(files))}")
    modes = [name for name in files if " -> " not in name
             and (installed / name).stat().st_mode & 0o777 not in ((0o755,) if name.startswith("bin/") else (0o644, 0o755))]
    report.check("everybody may read it, nobody but the owner may write it", not modes, str(modes))
    paths = [name for name in files if re.search(r"\.(cmake|pc|h)$", name)
             and re.search(re.escape(str(work())) + "|" + re.escape(PREFIX), (installed / name).read_text())]
    report.check("no installed file knows where it was built or installed", not paths, str(paths))

    installed.rename(home)
    shutil.rmtree(stage)
    check_guard(report, source, home / "lib/libboltpool.so")
    shutil.rmtree(source)
    return home


def check_guard(report: Report, source: Path, library: Path) -> None:
    """scripts/check_symbols.sh in a copy of the tree that one thing is wrong with: it fails, and names it."""
    wrong = work() / "wrong.so"
    command("cc", "-shared", "-x", "c", "/dev/null", "-Wl,--defsym=oops=0", "-o", wrong)
    changes = [  # what is changed, the file, its text before and after, the library, what the answer names
        ("a function that isn't listed", "packaging/libboltpool.symbols", "bp_version@BOLTPOOL_0.1\n", "", library, "+ bp_version"),
        ("a function that is gone", "packaging/libboltpool.symbols", "bp_version@", "bp_visit@BOLTPOOL_0.1\nbp_version@", library, "- bp_visit"),
        ("a function that is declared only", "include/boltpool/version.h", "bp_version(void);", "bp_version(void);\nBP_API int bp_no(void);",
         library, "bp_no is declared"),
        ("a function that no header declares", "include/boltpool/version.h", "BP_API const", "const", library, "bp_version is in the library"),
        ("a member that moved", "include/boltpool/pool.h", "    unsigned links_max;", "    unsigned more, links_max;", library,
         "member bp_pool_config links_max has changed"),
        ("a member that is new", "include/boltpool/pool.h", "    void *log_user;", "    void *log_user, *more;", library,
         "adds: member bp_pool_config more is new"),
        ("a name that isn't public", "README.md", "", "", wrong, "oops"),
    ]
    for what, name, before, after, built, answer in changes:
        file = source / name
        kept = file.read_text()
        if before not in kept:
            report.fail(f"the guard finds {what}", f"{name} has no {before!r}")
            continue
        file.write_text(kept.replace(before, after, 1))
        done = subprocess.run([source / "scripts/check_symbols.sh", built], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        report.check(f"the guard finds {what}", done.returncode != 0 and answer in done.stdout, done.stdout[-1000:])
        file.write_text(kept)


def check_library(report: Report, home: Path) -> None:
    library = home / "lib/libboltpool.so"
    dynamic = command("readelf", "-dW", library)
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    report.check("the library needs what it says", needed and needed <= NEEDED, f"needed: {sorted(needed)}")
    report.check("its name for programs is libboltpool.so.0", "soname: [libboltpool.so.0]" in dynamic, dynamic)
    binary = command("readelf", "-dW", home / "bin/boltpool")
    report.check("no path of a build is in it", not re.search(r"RPATH|RUNPATH|TEXTREL", dynamic + binary), dynamic + binary)
    with report.case("the installed library has the names and types that are written down"):
        command(ROOT / "scripts/check_symbols.sh", library.resolve())
    with report.case("the installed boltpool runs"):
        if not re.match(r"boltpool 0\.1\.0", version := command(home / "bin/boltpool", "--version")):
            raise RuntimeError(version)


# ---- building ----

def pkg_config(home: Path) -> dict[str, str]:
    """An environment in which pkg-config knows of nothing but the installed library: it asks for no other."""
    return clean_environment(PKG_CONFIG_LIBDIR=str(home / "lib/pkgconfig"))


def build_by_pkg_config(report: Report, home: Path) -> Path:
    examples, environment = home / "share/doc/boltpool/examples", pkg_config(home)
    with report.case("pkg-config knows its version"):
        if command("pkg-config", "--modversion", "boltpool", env=environment).strip() != "0.1.0":
            raise RuntimeError("another version")
        if subprocess.run(["pkg-config", "--exists", "boltpool >= 0.2"], env=environment).returncode == 0:
            raise RuntimeError("it says that it is a later one")
    folder = work() / "by-pkg-config"
    shutil.copytree(examples, folder)
    with report.case("pkg-config: every example builds by the Makefile that comes with it"):
        command("make", "-j2", f"CFLAGS=-std=c17 -D_GNU_SOURCE -O2 {' '.join(WARNINGS)}", cwd=folder, env=environment)
    with report.case("pkg-config: a program names the version of the functions that it uses"):
        if "bp_bolt_open@BOLTPOOL_0.1" not in command("nm", "-D", folder / "hello"):
            raise RuntimeError("it doesn't")
    return folder


def build_by_cmake(report: Report, home: Path) -> Path:
    folder = work() / "by-cmake"
    with report.case("CMake: every example builds by the project that comes with it"):
        command("cmake", "-S", home / "share/doc/boltpool/examples", "-B", folder, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={home}",
                f"-DCMAKE_C_FLAGS={' '.join(WARNINGS)}", env=clean_environment(PKG_CONFIG_LIBDIR="/nowhere"))
        command("cmake", "--build", folder, "-j2")
    for version, fits in (("0.1", True), ("0.1.0", True), ("0.0", False), ("0.1.1", False), ("0.2", False), ("1.0", False)):
        project = work() / f"find-{version}"
        project.mkdir()
        (project / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.13)\nproject(find LANGUAGES NONE)\n"
                                                f"find_package(boltpool {version} REQUIRED)\n"
                                                "get_target_property(where boltpool::boltpool IMPORTED_LOCATION_RELWITHDEBINFO)\n"
                                                "message(\"found ${where}\")\n")
        done = subprocess.run(["cmake", "-S", project, "-B", project / "build", f"-DCMAKE_PREFIX_PATH={home}"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment())
        found = done.returncode == 0 and f"found {home}/lib/libboltpool.so.0.1.0" in done.stdout
        report.check(f"CMake: find_package(boltpool {version}) {'finds' if fits else 'refuses'} 0.1.0",
                     found == fits and (fits or "version" in done.stdout), done.stdout)
    return folder


def build_as_cxx(report: Report, home: Path) -> Path:
    """All headers and examples are C++ too. C's {0} is the only thing that g++ has something to say of."""
    folder, environment = work() / "as-cxx", pkg_config(home)
    folder.mkdir()
    flags = command("pkg-config", "--cflags", "--libs", "boltpool", env=environment).split()
    for name in EXAMPLES:
        with report.case(f"C++: {name} builds"):
            command("g++", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror",
                    home / f"share/doc/boltpool/examples/{name}.c", "-x", "none", *flags, "-pthread", "-o", folder / name)
    return folder


def build_documents(report: Report, home: Path) -> dict[Path, str]:
    """Complete programs of docs/library.md, and the text block behind each: what it prints."""
    folder, environment = work() / "documents", pkg_config(home)
    folder.mkdir()
    text = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    programs = {}
    flags = command("pkg-config", "--cflags", "--libs", "boltpool", env=environment).split()
    for match in re.finditer(r"^```c\n(.*?)^```\n(?:\nprints\n\n```text\n(.*?)^```)?", text, re.M | re.S):
        line = text.count("\n", 0, match.start()) + 1
        if "int main(" not in match[1]:
            continue
        source = folder / f"line{line}.c"
        source.write_text(match[1])
        with report.case(f"docs/library.md:{line} builds"):
            if not match[2]:
                raise RuntimeError("no text block behind it says what it prints")
            command("cc", "-std=c17", *WARNINGS, source, *flags, "-pthread", "-o", source.with_suffix(""))
            programs[source.with_suffix("")] = match[2]
    report.check("docs/library.md has complete programs", programs)
    return programs


# ---- running ----

class Redis(socketserver.ThreadingTCPServer):
    """The few words of Redis' protocol that own_connector.c uses."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        self.counter, self.lock = 0, threading.Lock()
        super().__init__(("127.0.0.1", free_port()), RedisSession)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class RedisSession(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            words = line.split()
            with self.server.lock:  # type: ignore[attr-defined]
                if words[0] == b"SET":
                    self.server.counter = int(words[2])  # type: ignore[attr-defined]
                elif words[0] in (b"INCR", b"INCRBY"):
                    self.server.counter += int(words[2]) if len(words) > 2 else 1  # type: ignore[attr-defined]
                counter = self.server.counter  # type: ignore[attr-defined]
            answer = {b"PING": "+PONG", b"SET": "+OK"}.get(words[0], f":{counter}")
            self.wfile.write(f"{answer}\r\n".encode())


def run(report: Report, name: str, words: list[object], expected: str, environment: dict[str, str], pooler: Pooler | None = None) -> None:
    began = time.monotonic()
    try:
        done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              env=environment)
    except subprocess.TimeoutExpired as hung:
        report.fail(name, f"still running after 60 s; printed: {hung.stdout}\n{pooler.tail() if pooler else ''}")
        return
    why = f"it ended with {done.returncode}\n" if done.returncode != 0 else ""
    why += differs(expected, done.stdout)
    if why:
        report.fail(name, f"{why}\nsaid: {done.stderr}\n{pooler.tail() if pooler else ''}")
    else:
        report.ok(name, f"({time.monotonic() - began:.1f} s)")


def refuses(report: Report, name: str, words: list[object], environment: dict[str, str]) -> None:
    """It fails with a status and a text, and prints nothing that looks like success."""
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env=environment)
    report.check(name, done.returncode > 0 and done.stderr.strip() and not done.stdout,
                 f"ended with {done.returncode}; printed {done.stdout!r}, said {done.stderr!r}")


def run_all(report: Report, home: Path, folders: dict[str, Path], documents: dict[Path, str], only: str) -> None:
    examples = home / "share/doc/boltpool/examples"
    loader = clean_environment(LD_LIBRARY_PATH=str(home / "lib"))
    binding = {**pkg_config(home)}
    os.environ["BOLTPOOL"] = str(home / "bin/boltpool")
    redis = Redis()
    server = Neo4j(V5)
    pooler = Pooler(server.port)
    expected = {name: expected_of_comment((examples / f"{name}.c").read_text()) for name in EXAMPLES}
    # How each is built, and the way that it then goes to the server.
    ways = [("pkg-config", "directly", server.port), ("pkg-config", "through boltpool", pooler.port), ("CMake", "directly", server.port),
            ("C++", "through boltpool", pooler.port)]
    for built, way, port in ways:
        for name in EXAMPLES:
            if not re.search(only, name):
                continue
            url = f"bolt://neo4j:{PASSWORD}@127.0.0.1:{port}"
            if name == "own_connector":
                if way != "directly":
                    continue
                url = f"redis://127.0.0.1:{redis.server_address[1]}"
            # CMake leaves the library's place in what it builds; all others find it by the loader's path.
            run(report, f"{built}: {name} {way}", [folders[built] / name, url], expected[name],
                clean_environment() if built == "CMake" else loader, pooler if way != "directly" else None)
    for way, port in (("directly", server.port), ("through boltpool", pooler.port)):
        url = f"bolt://neo4j:{PASSWORD}@127.0.0.1:{port}"
        if re.search(only, "boltpool_cffi"):
            script = examples / "python/boltpool_cffi.py"
            run(report, f"Python: boltpool_cffi {way}", [sys.executable, "-B", script, url], expected_of_comment(script.read_text()), binding)
        for program, text in documents.items():
            if re.search(only, program.name):
                run(report, f"docs/library.md: {program.name} {way}", [program, url], text, loader)

    nowhere, wrong = f"bolt://neo4j:x@127.0.0.1:{free_port()}", f"bolt://neo4j:wrong@127.0.0.1:{server.port}"
    for name in EXAMPLES:
        if re.search(only, name) and name in ("hello", "parameters", "transaction"):
            refuses(report, f"{name} says that nobody listens", [folders["pkg-config"] / name, nowhere], loader)
            refuses(report, f"{name} says that the password is wrong", [folders["pkg-config"] / name, wrong], loader)
    pooler.stop()
    server.kill()

    if re.search(only, "parameters"):    # vectors: Bolt 6
        newest = Neo4j(V2026)
        url = f"bolt://neo4j:{PASSWORD}@127.0.0.1:{newest.port}"
        text = expected["parameters"].replace("vector: <...>", "vector: vector([0.5, 1.5], 2, FLOAT32)")
        run(report, f"pkg-config: parameters on {V2026}", [folders["pkg-config"] / "parameters", url], text, loader)
        newest.kill()
    redis.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--static", action="store_true")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    watchdog(540)
    report = Report()
    check_comparison(report)
    home = install(report)
    check_library(report, home)
    folders = {"pkg-config": build_by_pkg_config(report, home), "CMake": build_by_cmake(report, home), "C++": build_as_cxx(report, home)}
    documents = build_documents(report, home)
    if not options.static and report.failed == 0:
        run_all(report, home, folders, documents, options.only)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
