"""What a Python grader's source asks of its process. Runs inside the worker; reads the source, never executes it.

A source either runs in a *fresh namespace* each time, in one process, or in a *process of its own* each time. The first
costs microseconds, and is safe where no text can become code and nothing that outlives a call can be changed: then a
call sees nothing of those before it. That is decided on the safe side: what is not known to be harmless gets processes.
It guards against texts and accidents, not against the author, who owns all that a worker ever runs.

What outlives a call are the modules, and what hangs on them. Of a module only classes, functions and immutable values
may be named, so there is no container to write to; attributes are set on nothing but a method's own `self`; and what
changes a class or function that it is given (`register`, `type` with three arguments, decorators) is kept from all but
the source's own.
"""

import ast
import importlib
from collections.abc import Iterator
from types import NoneType

FILE_NAME = "<grader>"
"""The file of the source in tracebacks."""
ALL = frozenset[str]()

# Modules that neither turn text into code nor reach what does, and the names that are left out because they do
# (`attrgetter` runs properties by name, `get_type_hints` evaluates, `get_origin` leads to `type`), change the process
# for later calls (`getcontext`, `seterr`, `errstate` in a generator that is left waiting), change what they are given
# (`final`, `no_type_check`), open files, or take memory for what it is not (`ndarray` with a buffer).
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
            "errstate",
            "fromfile",
            "fromregex",
            "genfromtxt",
            "info",
            "load",
            "loadtxt",
            "memmap",
            "ndarray",
            "printoptions",
            "recarray",
            "record",
            "save",
            "savetxt",
            "savez",
            "savez_compressed",
            "set_printoptions",
            "setbufsize",
            "seterr",
            "seterrcall",
            "show_config",
            "show_runtime",
            "test",
            "void",
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
    "typing": frozenset(
        {
            "ForwardRef",
            "clear_overloads",
            "dataclass_transform",
            "final",
            "get_args",
            "get_origin",
            "get_overloads",
            "get_type_hints",
            "no_type_check",
            "no_type_check_decorator",
            "overload",
            "runtime_checkable",
        }
    ),
    "unicodedata": ALL,
}
IMMUTABLE = (int, float, complex, str, bytes, tuple, frozenset, NoneType)
DECORATORS = frozenset({"dataclasses.dataclass"})
"""What changes the class that it is given: for the source's own classes, as their decorators, and nothing else."""
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
HARMLESS_METHODS = HARMLESS_DUNDERS | {
    *("__add__", "__call__", "__contains__", "__enter__", "__exit__", "__getitem__", "__iter__", "__len__"),
    *("__mul__", "__next__", "__repr__", "__str__", "__sub__"),
}
"""What a class may say of itself. Not `__eq__` and `__hash__`: libraries keep what they were given in caches, and would
ask a later call's object about an earlier one's. Not `__del__`: it runs whenever it is swept up. Not what numpy reads
memory by, such as `__array_interface__`.
"""
OF_NAMEDTUPLES = frozenset({"_asdict", "_fields", "_make", "_replace"})
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
        "no_type_check",
        "register",
        "setflags",
        "tb_frame",
        "tb_next",
        "tofile",
        "unicode_whitespace_trans",
    }
)
"""Ways from an object to the code around it, numpy's to files and raw memory, and what classes keep for all."""
FORMATTING = frozenset({"format", "format_map"})
"""They read attributes by name, so only where the author wrote the text that is filled."""


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
    if why:
        return why
    own = {id(node) for node in _attributes_of_self(tree)}
    harmless = {id(node) for node in _harmless_uses(tree)}
    for node in ast.walk(tree):
        why = (
            _fault_of_identifiers(node)
            or (_fault_of_attribute(node, modules, own, harmless) if isinstance(node, ast.Attribute) else "")
            or (_fault_of_use(node, modules, harmless) if isinstance(node, ast.expr) else "")
        )
        if why:
            return why
    return ""


def _modules(tree: ast.Module) -> tuple[dict[str, str], str]:
    """Return the modules by the names that they are bound to, and what forbids a fresh namespace."""
    bound: dict[str, str] = {}
    for module, names in imports(tree):
        if module == "__future__":
            continue
        if module not in WITHOUT or module.partition(".")[0] not in WITHOUT:
            return bound, f"it imports {module}"
        for name in names:
            if f"{module}.{name}" not in WITHOUT and name not in lasting_names(module):
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
            bound |= {name: path for name, path in paths.items() if path in WITHOUT or path in DECORATORS}
    return bound, ""


def _attributes_of_self(tree: ast.Module) -> Iterator[ast.Attribute]:
    """Yield the attributes of `self` in methods where it is the first parameter and always stays so."""
    for a_class in ast.walk(tree):
        for method in a_class.body if isinstance(a_class, ast.ClassDef) else ():
            # A decorator may call the method with anything.
            if not isinstance(method, ast.FunctionDef) or method.decorator_list:
                continue
            first = next(iter(method.args.posonlyargs + method.args.args), None)
            inside = [node for node in ast.walk(method) if node is not first]
            if first is None or first.arg != "self" or any("self" in _bound(node) for node in inside):
                continue
            yield from (node for node in inside if isinstance(node, ast.Attribute) and _is_name(node.value, "self"))


def _harmless_uses(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what is used in the one way in which it does no harm."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.value  # A module is harmless as what a name is taken from.
        if isinstance(node, ast.ClassDef):
            # The innermost is the one that gets the class itself.
            for decorator in node.decorator_list[-1:]:
                used = decorator.func if isinstance(decorator, ast.Call) and not decorator.args else decorator
                if not _is_name(used, "type"):
                    yield used
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_text(node.func.value):
            yield node.func
        # `type(x)` where it is compared or named: of a class it is `type` itself, which makes classes.
        compared = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        named = [node.value] if isinstance(node, ast.Attribute) and node.attr == "__name__" else []
        for call in compared + named:
            if isinstance(call, ast.Call) and len(call.args) == 1 and not isinstance(call.args[0], ast.Starred):
                yield call.func


def _fault_of_identifiers(node: ast.AST) -> str:
    """Judge every identifier that a node has, wherever Python lets one stand; names of attributes aside."""
    if isinstance(node, ast.Attribute):
        return ""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        harmless = not node.name.startswith("__") or node.name in HARMLESS_METHODS
        return "" if harmless else f"it defines {node.name}"
    for name in _identifiers(node):
        if name in FORBIDDEN_NAMES or (name.startswith("__") and name not in HARMLESS_DUNDERS):
            return f"it uses {name}"
    if isinstance(node, ast.MatchClass):
        return next((fault for name in node.kwd_attrs if (fault := _fault_of_attribute_name(name))), "")
    return ""


def _fault_of_attribute_name(name: str) -> str:
    if name in FORBIDDEN_ATTRIBUTES or (name.startswith("__") and name not in HARMLESS_DUNDERS):
        return f"it uses {name}"
    return f"it uses {name}" if name.startswith("_") and name not in OF_NAMEDTUPLES | HARMLESS_DUNDERS else ""


def _fault_of_attribute(node: ast.Attribute, modules: dict[str, str], own: set[int], harmless: set[int]) -> str:
    private = node.attr.startswith("_") and not node.attr.startswith("__")
    if (why := _fault_of_attribute_name(node.attr)) and not (private and id(node) in own):
        return why
    if not isinstance(node.ctx, ast.Load) and id(node) not in own:
        return f"line {node.lineno} changes an attribute"
    if node.attr in FORMATTING and id(node) not in harmless:
        return f"line {node.lineno} fills a text that may be anybody's"
    module = _module_of(node.value, modules)
    if module and not _module_of(node, modules) and node.attr not in lasting_names(module):
        return f"it uses {module}.{node.attr}"
    return ""


def _fault_of_use(node: ast.expr, modules: dict[str, str], harmless: set[int]) -> str:
    if isinstance(node, ast.Name) and node.id in modules and not isinstance(node.ctx, ast.Load):
        return f"line {node.lineno} changes {node.id}"
    if id(node) in harmless:
        return ""
    if _is_name(node, "type"):
        return f"line {node.lineno} uses type for more than to compare or name one"
    module = _module_of(node, modules)
    if module in DECORATORS:
        return f"line {node.lineno} uses {module} other than as a decorator"
    return f"line {node.lineno} passes a module on" if module else ""


def _identifiers(node: ast.AST) -> Iterator[str]:
    for field, value in ast.iter_fields(node):
        if field not in ("value", "kind", "type_comment", "module"):
            yield from (name for name in (value if isinstance(value, list) else [value]) if isinstance(name, str))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node may bind."""
    return iter(()) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else _identifiers(node)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _module_of(node: ast.expr, modules: dict[str, str]) -> str:
    """Return the module that an expression names, empty where it names none."""
    if isinstance(node, ast.Name):
        return modules.get(node.id, "")
    if isinstance(node, ast.Attribute) and (base := _module_of(node.value, modules)):
        path = f"{base}.{node.attr}"
        return path if path in WITHOUT or path in DECORATORS else ""
    return ""


def lasting_names(module: str) -> frozenset[str]:
    """Return the names of a module that a source in a fresh namespace may use; none where it is not installed."""
    try:
        loaded = importlib.import_module(module)
    except ImportError:
        return frozenset()
    public = [name for name in getattr(loaded, "__all__", dir(loaded)) if not name.startswith("_")]
    values = {name: getattr(loaded, name, loaded) for name in public}
    lasting = {name for name, value in values.items() if callable(value) or isinstance(value, IMMUTABLE)}
    return frozenset(lasting) - WITHOUT[module]
