"""What a Python grader's source asks of its process. Runs inside the worker; reads the source, never executes it.

A source either runs in a *fresh namespace* each time, in one process, or in a *process of its own* each time. The first
costs microseconds, and is safe where no text can become code: then a sampled text cannot change the process that the
next text is graded in. That is decided on the safe side: what is not known to be harmless gets processes. It guards
against texts, not against the author, who owns all that a worker ever runs.
"""

import ast
import importlib
from types import ModuleType

FILE_NAME = "<grader>"
"""The file of the source in tracebacks."""
ALL = frozenset[str]()

# Modules that neither turn text into code nor reach what does, and the names that are left out because they do
# (`attrgetter` runs properties by name, `get_type_hints` evaluates), change the process for later calls (`getcontext`,
# `seterr`), or open files.
WITHOUT: dict[str, frozenset[str]] = {
    "base64": frozenset({"main", "test", "encode", "decode"}),
    "bisect": ALL,
    "cmath": ALL,
    "collections": ALL,
    "collections.abc": ALL,
    "dataclasses": frozenset({"make_dataclass"}),
    "datetime": ALL,
    "decimal": frozenset(
        {"getcontext", "setcontext", "localcontext", "DefaultContext", "BasicContext", "ExtendedContext"}
    ),
    "difflib": ALL,
    "fractions": ALL,
    "functools": frozenset({"singledispatch", "singledispatchmethod", "total_ordering", "update_wrapper", "wraps"}),
    "hashlib": frozenset({"file_digest"}),
    "heapq": ALL,
    "html": ALL,
    "itertools": ALL,
    "json": ALL,
    "math": ALL,
    "numpy": frozenset(
        {
            "bmat",
            "fromfile",
            "fromregex",
            "genfromtxt",
            "info",
            "load",
            "loadtxt",
            "memmap",
            "save",
            "savetxt",
            "savez",
            "savez_compressed",
            "sctypeDict",
            "set_printoptions",
            "setbufsize",
            "seterr",
            "seterrcall",
            "show_config",
            "show_runtime",
            "test",
            "typecodes",
        }
    ),
    "numpy.linalg": frozenset({"test"}),
    "operator": frozenset({"attrgetter", "call", "methodcaller"}),
    "random": ALL,
    "rapidfuzz": ALL,
    "rapidfuzz.distance": ALL,
    "rapidfuzz.distance.DamerauLevenshtein": ALL,
    "rapidfuzz.distance.Hamming": ALL,
    "rapidfuzz.distance.Indel": ALL,
    "rapidfuzz.distance.Jaro": ALL,
    "rapidfuzz.distance.JaroWinkler": ALL,
    "rapidfuzz.distance.LCSseq": ALL,
    "rapidfuzz.distance.Levenshtein": ALL,
    "rapidfuzz.distance.OSA": ALL,
    "rapidfuzz.fuzz": ALL,
    "rapidfuzz.process": ALL,
    "rapidfuzz.utils": ALL,
    "re": ALL,
    "statistics": ALL,
    "string": frozenset({"Formatter"}),
    "textwrap": ALL,
    "typing": frozenset({"ForwardRef", "get_type_hints"}),
    "unicodedata": ALL,
}
FORBIDDEN_NAMES = frozenset(
    {
        "breakpoint",
        "compile",
        "copyright",
        "credits",
        "delattr",
        "eval",
        "exec",
        "exit",
        "getattr",
        "globals",
        "help",
        "input",
        "license",
        "locals",
        "open",
        "quit",
        "setattr",
        "vars",
    }
)
"""Builtins that no source in a fresh namespace has."""
HARMLESS_DUNDERS = frozenset({"__init__", "__name__", "__post_init__"})
FORBIDDEN_ATTRIBUTES = frozenset(
    {
        "ag_code",
        "ag_frame",
        "cr_code",
        "cr_frame",
        "ctypes",
        "dump",
        "f_back",
        "f_builtins",
        "f_code",
        "f_globals",
        "f_locals",
        "gi_code",
        "gi_frame",
        "setflags",
        "tb_frame",
        "tb_next",
        "tofile",
    }
)
"""Ways from an object to the code around it, and numpy's to files and raw memory."""


def parse(source: bytes) -> ast.Module:
    """Read a source as Python; raises SyntaxError or ValueError, in deep nesting RecursionError or MemoryError."""
    return ast.parse(source.decode("utf-8"), FILE_NAME)


def imports(tree: ast.Module) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a source imports anywhere: modules, and the names that are taken from them."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.append((node.module, tuple(alias.name for alias in node.names)))
    return found


def why_processes(tree: ast.Module) -> str:
    """Return why a source needs a process for each call; empty where a fresh namespace will do."""
    modules, why = _modules(tree)
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if why:
            return why
        if isinstance(node, ast.Name):
            why = _fault_of_name(node.id)
            if not why and node.id in modules and not isinstance(node.ctx, ast.Load):
                why = f"line {node.lineno} changes {node.id}"
        elif isinstance(node, ast.Attribute):
            why = _fault_of_attribute(node, modules)
        if not why and isinstance(node, ast.expr) and _module_of(node, modules) and id(node) not in bases:
            why = f"line {node.lineno} passes a module on"
    return why


def _modules(tree: ast.Module) -> tuple[dict[str, str], str]:
    """Return the modules by the names that they are bound to, and what forbids a fresh namespace."""
    bound: dict[str, str] = {}
    for module, names in imports(tree):
        if module == "__future__":
            continue
        if module not in WITHOUT or module.partition(".")[0] not in WITHOUT:
            return bound, f"it imports {module}"
        for name in names:
            if f"{module}.{name}" not in WITHOUT and name not in _names(module):
                return bound, f"it imports {name} from {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {
                a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
                for a in node.names
            }
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                return bound, "it imports from beside itself"
            paths = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            bound |= {name: path for name, path in paths.items() if path in WITHOUT}
    return bound, ""


def _fault_of_name(name: str) -> str:
    if name in FORBIDDEN_NAMES or (name.startswith("__") and name not in HARMLESS_DUNDERS):
        return f"it uses {name}"
    return ""


def _fault_of_attribute(node: ast.Attribute, modules: dict[str, str]) -> str:
    if node.attr in FORBIDDEN_ATTRIBUTES or (node.attr.startswith("__") and node.attr not in HARMLESS_DUNDERS):
        return f"it uses {node.attr}"
    of_self = isinstance(node.value, ast.Name) and node.value.id == "self" and "self" not in modules
    if not isinstance(node.ctx, ast.Load) and not of_self:
        return f"line {node.lineno} changes an attribute"
    module = _module_of(node.value, modules)
    if module and not _module_of(node, modules) and node.attr not in _names(module):
        return f"it uses {module}.{node.attr}"
    return ""


def _module_of(node: ast.expr, modules: dict[str, str]) -> str:
    """Return the module that an expression names, empty where it names none."""
    if isinstance(node, ast.Name):
        return modules.get(node.id, "")
    if isinstance(node, ast.Attribute) and (base := _module_of(node.value, modules)):
        path = f"{base}.{node.attr}"
        return path if path in WITHOUT else ""
    return ""


def _names(module: str) -> frozenset[str]:
    """Return the names of a module that a source in a fresh namespace may use; none where it is not installed."""
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return frozenset()
    public = [name for name in getattr(loaded, "__all__", dir(loaded)) if not name.startswith("_")]
    named = {name for name in public if not isinstance(getattr(loaded, name, loaded), ModuleType)}
    return frozenset(named) - WITHOUT[module]
