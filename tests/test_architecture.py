"""The floors of the design, and the few rules of the house that a machine can hold.

Every import counts, those inside functions and under TYPE_CHECKING too: what a module knows of
another is an arrow, whenever it is loaded.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "minionbench"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "clock", "units", "names"),
    ("records", "exchange", "schema", "traces"),
    ("stats", "inference", "change_points", "bm25", "metrics"),
    ("transport", "wire"),
    ("workloads", "engines", "meters", "deployments", "quality", "protocols", "prices", "load"),
    ("store", "system", "registry", "verdict", "runner", "allowance", "billing"),
    (
        "metering",
        "measuring",
        "counting",
        "embedding_first",
        "run_settings",
        "sides",
        "run_plan",
        "recovery",
        "assembly",
        "experiment",
        "sweep",
        "autobench",
        "simulator",
        "calibrate",
    ),
    ("compare", "regrading", "select", "history", "importers", "exporters", "report"),
    ("cli", "__main__", "__init__"),
)
"""A room imports from lower floors only. Rooms are the package's folders and top-level modules."""

SAME_FLOOR = {
    ("records", "exchange"): "a record holds the reply as it came back",
    ("metrics", "stats"): "a metric's value carries its interval",
    ("change_points", "stats"): "what comes before and after a change is told by its median",
    ("inference", "stats"): "two sides are told apart by the same distributions",
    ("protocols", "deployments"): "a protocol is a deployment, and may ask once as others do",
    ("protocols", "prices"): "protocols are held against each other by what they cost",
    ("protocols", "quality"): "and by how right their answers are",
    ("quality", "deployments"): "a procedure asks through the deployment that it examines",
    ("quality", "workloads"): "its items are drawn and sized as a workload's are",
    ("runner", "allowance"): "before it asks, it asks whether it may",
    ("wire", "transport"): "a dialect writes whole HTTP requests",
    ("measuring", "metering"): "meters are looked at while requests run",
    ("sides", "measuring"): "an engine is set up for the cells that it is to serve",
    ("sides", "run_settings"): "the settings say which models are asked",
    ("experiment", "run_settings"): "an experiment is settings, measuring and assembly",
    ("counting", "measuring"): "what the servers did not count is counted in what was measured",
    ("embedding_first", "measuring"): "the cells say whose documents are to be embedded",
    ("experiment", "embedding_first"): "what is chosen by vectors is chosen before it starts",
    ("experiment", "counting"): "it has that done while the servers are there",
    ("experiment", "sides"): "it starts what serves each side",
    ("run_plan", "measuring"): "a plan is of the cells that are to be measured",
    ("assembly", "measuring"): "what was measured is put into the document's form",
    ("assembly", "run_plan"): "a document says what was planned",
    ("autobench", "measuring"): "its runs are made of the same cells as an experiment",
    ("autobench", "assembly"): "its candidates have the same form as an experiment's",
    ("experiment", "metering"): "its meters are opened before its engines",
    ("autobench", "metering"): "its meters are opened once for all models",
    ("experiment", "measuring"): "an experiment is settings, measuring and assembly",
    ("experiment", "assembly"): "an experiment is settings, measuring and assembly",
    ("experiment", "run_plan"): "it draws the plan and keeps it on file",
    ("recovery", "assembly"): "a recovered document is made as any other is",
    ("recovery", "measuring"): "what the journal holds is what was measured",
    ("recovery", "run_plan"): "the plan says what the journal does not",
    ("sweep", "assembly"): "its cells have the same form as an experiment's",
    ("sweep", "embedding_first"): "an embedding model that runs elsewhere stops it beforehand",
    ("sweep", "experiment"): "each of its sessions serves and asks as an experiment does",
    ("sweep", "counting"): "with the same tokens counted afterwards",
    ("sweep", "measuring"): "and is measured as one",
    ("sweep", "metering"): "with the same meters looked at",
    ("sweep", "run_plan"): "its plan holds that of a run",
    ("sweep", "run_settings"): "what all of its cells have in common",
    ("sweep", "sides"): "which models they ask",
    ("report", "compare"): "a report of several runs holds them against the first",
    ("report", "select"): "a report says which option to choose, by the scales of the choice",
    ("__main__", "cli"): "the program's two doors are one",
}
"""Arrows between rooms of one floor, with the reason for each."""

WORDS_THAT_SAY_NOTHING = re.compile(
    r"(^|_)(abstract|base|common|helpers?|managers?|misc|mixins?|utils?)($|_)"
)

ENDS_A_PROCESS = {
    "engines.server_child": "a program of its own: the keeper of somebody else's server",
    "engines.llamacpp_child": "a program of its own: the process that holds the engine",
}
"""Modules below the command line that may end their process."""


@dataclass
class Module:
    """One source file, parsed."""

    name: str
    path: Path
    tree: ast.Module
    lines: list[str]
    imports: list[tuple[int, str]] = field(default_factory=list)
    """(line, dotted name) of everything imported, relative names resolved."""

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


def dotted(path: Path) -> str:
    """`engines/gguf.py` → `engines.gguf`; a package's `__init__.py` → the package's name."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        module = Module(dotted(path), path, ast.parse(text, str(path)), text.splitlines())
        found[module.name] = module
    for module in found.values():
        module.imports = list(imports(module, set(found)))
    return found


def imports(module: Module, known: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                here = [PACKAGE, *module.name.split(".")]
                is_package = module.path.name == "__init__.py"
                up = node.level - 1 if is_package else node.level
                anchor = here[: len(here) - up] if module.name != "__init__" else [PACKAGE]
                source = ".".join([*anchor, source] if source else anchor)
            for alias in node.names:
                full = f"{source}.{alias.name}"
                inner = full.removeprefix(f"{PACKAGE}.")
                # `from package import name` means the module of that name where there is one.
                yield node.lineno, full if inner in known else source


def own_imports(module: Module) -> Iterator[tuple[int, str]]:
    """(line, module of this package) of each import from the package itself."""
    for line, name in module.imports:
        if name == PACKAGE:
            # The root package is loaded before any of its modules: asking it for the version
            # is no arrow, asking it for anything else goes through the roof.
            if "__version__" not in module.lines[line - 1]:
                yield line, "__init__"
        elif name.startswith(f"{PACKAGE}."):
            yield line, name.removeprefix(f"{PACKAGE}.")


FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def where(module: Module, line: int) -> str:
    return f"{module.path.relative_to(SOURCE.parent.parent)}:{line}"


def calls(module: Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each call whose target is a plain dotted name."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_every_room_has_a_floor() -> None:
    rooms = {module.room for module in modules().values()}
    assert rooms - FLOOR_OF.keys() == set()


def test_arrows_go_down_or_stay_in_the_room() -> None:
    upward = []
    for module in modules().values():
        for line, target in own_imports(module):
            room = target.partition(".")[0]
            if room == module.room or (module.room, room) in SAME_FLOOR:
                continue
            if FLOOR_OF[room] >= FLOOR_OF[module.room]:
                upward.append(f"{where(module, line)}: {module.room} → {room}")
    assert upward == []


def test_each_listed_arrow_between_neighbours_exists() -> None:
    drawn = {
        (module.room, target.partition(".")[0])
        for module in modules().values()
        for _, target in own_imports(module)
    }
    assert set(SAME_FLOOR) - drawn == set()
    assert all(FLOOR_OF[a] == FLOOR_OF[b] for a, b in SAME_FLOOR)


def test_modules_import_each_other_in_no_circle() -> None:
    # The root package's lazy names are the one place where "imports" means "when asked for".
    arrows = {
        module.name: {target for _, target in own_imports(module) if target in modules()}
        for module in modules().values()
        if module.name != "__init__"
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in trail:
            return (*trail[trail.index(name) :], name)
        if name in done:
            return None
        for target in sorted(arrows.get(name, ())):
            circle = visit(target, (*trail, name))
            if circle:
                return circle
        done.add(name)
        return None

    circles = [" → ".join(circle) for name in arrows if (circle := visit(name, ()))]
    assert circles == []


def test_only_the_clock_reads_the_time() -> None:
    readings = []
    for module in modules().values():
        if module.name == "clock":
            continue
        readings += [where(module, line) for line, name in module.imports if name == "time"]
        readings += [
            f"{where(module, line)}: {name}"
            for line, name in calls(module)
            if re.search(r"\bdate(time)?\.(now|utcnow|today)$", name)
        ]
    assert readings == []


def test_nothing_below_the_command_line_prints_or_exits() -> None:
    spoken = []
    for module in modules().values():
        if module.room in ("cli", "__main__"):
            continue
        forbidden = {"print", "sys.exit", "exit", "quit", "SystemExit", "os._exit"}
        if module.name in ENDS_A_PROCESS:
            forbidden = {"print"}
        spoken += [
            f"{where(module, line)}: {name}" for line, name in calls(module) if name in forbidden
        ]
    assert spoken == []


def test_names_say_what_is_inside() -> None:
    vague = [name for name in modules() if WORDS_THAT_SAY_NOTHING.search(name.replace(".", "_"))]
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and re.search(
                r"^Abstract|(Base|Manager|Mixin|Helper|Util)s?$", node.name
            ):
                vague.append(f"{where(module, node.lineno)}: {node.name}")
    assert vague == []


def test_a_broad_except_says_why() -> None:
    silent = []
    for module in modules().values():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and is_broad(node):
                last = node.body[-1]
                if isinstance(last, ast.Raise) and last.exc is None:
                    continue  # it tidies up and lets the error go on
                reason = comments(module.lines[node.lineno - 1 : node.body[0].lineno])
                if len(reason.split()) < 3:
                    silent.append(where(module, node.lineno))
    assert silent == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def comments(lines: list[str]) -> str:
    """What the comments of these lines say, markers for the linter left out."""
    said = " ".join(line.partition("#")[2] for line in lines)
    return re.sub(r"noqa(: ?[A-Z0-9, ]+)?|[-–#]", " ", said)


def test_every_public_name_is_documented() -> None:
    undocumented = []
    for module in modules().values():
        if not ast.get_docstring(module.tree):
            undocumented.append(f"{module.name}: the module")
        for node, name in public_names(module.tree):
            if not ast.get_docstring(node) and node.name not in promised():
                undocumented.append(f"{where(module, node.lineno)}: {name}")
    assert undocumented == []


Named = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public_names(
    parent: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[Named, str]]:
    """Public classes, functions and methods, those inside functions and private classes left out.

    A setter or an overload repeats its first definition and is left out too.
    """
    for node in parent.body:
        if not isinstance(node, Named) or node.name.startswith("_"):
            continue
        marks = {ast.unparse(mark).rpartition(".")[2] for mark in node.decorator_list}
        if marks & {"overload", "setter"}:
            continue
        yield node, f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from public_names(node, f"{prefix}{node.name}.")


@cache
def promised() -> frozenset[str]:
    """Methods that a protocol documents: whoever carries one out need not say it again."""
    return frozenset(
        method.name
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        for method in node.body
        if isinstance(method, Named) and ast.get_docstring(method)
    )
