"""Which sources of Python graders may share a process, as the reading of the source decides."""

import ast
from types import ModuleType

import pytest

from pinetune.grading.sandbox import source as sources

FRESH = {
    "nothing but builtins": "def grade(sample, item):\n    return float(len(sample['output_text']))",
    "modules and their names": "import json, re as r\nfrom math import isclose\nx = json.loads\ny = r.compile('a')",
    "modules in modules": "import numpy as np\nx = np.linalg.norm",
    "abstract classes": "import collections.abc\nfrom collections import Counter\nx = collections.abc.Mapping",
    "a class with state of its own": "class A:\n    def __init__(self):\n        self.x = 1\n        self.x += 1",
    "private state of its own": "class A:\n    def f(self, x):\n        self._x = x\n        return self._x.upper()",
    "a dataclass": "from dataclasses import dataclass, field\n@dataclass(frozen=True)\nclass A:\n    x: int = 1",
    "a dataclass of a module": "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int = 1",
    "a named tuple": "from collections import namedtuple\nA = namedtuple('A', 'x')\nA(1)._replace(x=2)._asdict()",
    "types that are compared or named": "def f(x):\n    return type(x) is int or type(x).__name__ == 'int'",
    "a text of its own that is filled": "def f(x):\n    return '{:.2f}'.format(x)",
    "patterns": "def f(x):\n    match x:\n        case [int(), *_]: return 1\n        case complex(real=r): return r",
    "operators of a class": "class A:\n    def __add__(self, other):\n        return self",
    "annotations": "from __future__ import annotations\nfrom typing import Any\nx: Any = 1",
}


@pytest.mark.parametrize("source", FRESH.values(), ids=FRESH.keys())
def test_a_source_that_turns_no_text_into_code_shares_a_process(source: str) -> None:
    assert sources.why_processes(ast.parse(source)) == ""


PROCESSES = {
    "exec": ("exec('1')", "uses exec"),
    "eval under another name": ("f = eval", "uses eval"),
    "an import by name": ("__import__('os')", "uses __import__"),
    "a system module": ("import os", "imports os"),
    "a system module, hidden": ("def f():\n    from subprocess import run", "imports subprocess"),
    "a module that evaluates": ("import sympy", "imports sympy"),
    "a submodule of a known one": ("import json.decoder", "imports json.decoder"),
    "everything of a module": ("from json import *", "imports * from json"),
    "a module of a module": ("import json\njson.codecs.open('x')", "uses json.codecs"),
    "a private module of a module": ("import random\nrandom._os", "uses _os"),
    "a private module by import": ("from random import _os", "imports _os from random"),
    "a name that evaluates": ("import typing\ntyping.get_type_hints", "uses typing.get_type_hints"),
    "a name that runs others": ("from operator import methodcaller", "imports methodcaller from operator"),
    "state of a module": ("import decimal\ndecimal.getcontext", "uses decimal.getcontext"),
    "a changed module": ("import json\njson.loads = None", "changes an attribute"),
    "a changed class": ("from fractions import Fraction\nFraction.x = 1", "changes an attribute"),
    "a deleted attribute": ("import json\ndel json.loads", "changes an attribute"),
    "a module as a value": ("import json\nx = json", "passes a module on"),
    "a submodule as a value": ("import numpy as np\nf(np.linalg)", "passes a module on"),
    "a module under a used name": ("import json\njson = 5", "changes json"),
    "attributes by name": ("getattr(1, 'real')", "uses getattr"),
    "the way to the classes": ("().__class__.__bases__", "uses __"),
    "the way to the frames": ("def f(e):\n    return e.tb_frame", "uses tb_frame"),
    "the builtins": ("__builtins__['eval']", "uses __builtins__"),
    "a file": ("open('x')", "uses open"),
    "a file by an array": ("import numpy as np\nnp.zeros(1).dump('x')", "uses dump"),
    "an abstract class that is told of others": (
        "from collections.abc import Mapping\nMapping.register(str)",
        "uses register",
    ),
    "a private attribute": ("from typing import List\nf(List['1'])._evaluate", "uses _evaluate"),
    "a private attribute of another's self": ("def f(self):\n    return self._x", "uses _x"),
    "another self": ("from fractions import Fraction\nself = Fraction\nself.seen = 7", "changes an attribute"),
    "another self in a function": ("def f(self):\n    self.x = 1", "changes an attribute"),
    "another self in a method": (
        "from fractions import Fraction\nclass A:\n    def f(self):\n        self = Fraction\n        self.x = 1",
        "changes an attribute",
    ),
    "another self by a pattern": (
        "class A:\n    def f(self, x):\n        match x:\n            case self: self.x = 1",
        "changes an attribute",
    ),
    "another self by a nested function": (
        "class A:\n    def f(self):\n        def g(self):\n            self.x = 1",
        "changes an attribute",
    ),
    "a method without a self": (
        "class A:\n    @staticmethod\n    def f(self):\n        self.x = 1",
        "changes an attribute",
    ),
    "the globals by a pattern": (
        "import json\nmatch json.loads:\n    case object(__globals__=g): pass",
        "uses __globals__",
    ),
    "frames by a pattern": ("match x:\n    case object(gi_frame=g): pass", "uses gi_frame"),
    "private attributes by a pattern": ("match x:\n    case object(_field=g): pass", "uses _field"),
    "builtins of its own": ("import json as __builtins__", "uses __builtins__"),
    "the builtins as a global": ("def f():\n    global __builtins__", "uses __builtins__"),
    "a class out of texts": ("type('R', (), {'__annotations__': {}})", "uses type for more"),
    "the class of classes": ("type(int)('R', (), {})", "uses type for more"),
    "the class of classes as a decorator": ("@type\nclass T: pass", "uses type for more"),
    "a class out of texts by a comparison": ("type(*parts) == 1", "uses type for more"),
    "a metaclass": ("class M(type): pass", "uses type for more"),
    "the class of classes by typing": ("import typing\ntyping.get_origin(typing.Type[int])", "uses typing.get_origin"),
    "a dataclass made of another class": (
        "from dataclasses import dataclass\nfrom fractions import Fraction\ndataclass(Fraction)",
        "uses dataclasses.dataclass other than as a decorator",
    ),
    "a dataclass of what another decorator gives": (
        "from dataclasses import dataclass\n@dataclass\n@pick\nclass A: pass",
        "uses dataclasses.dataclass other than as a decorator",
    ),
    "a dataclass made by another name": (
        "import dataclasses\nmake = dataclasses.dataclass",
        "uses dataclasses.dataclass other than as a decorator",
    ),
    "marks on what others use": ("from typing import no_type_check", "imports no_type_check from typing"),
    "marks on what others use, by attribute": ("import typing\ntyping.final(int)", "uses typing.final"),
    "equality, which caches ask for": ("class A(int):\n    def __eq__(self, other): return True", "defines __eq__"),
    "memory by address": (
        "class A:\n    @property\n    def __array_interface__(self): return {}",
        "defines __array_interface__",
    ),
    "memory as objects": ("import numpy as np\nnp.ndarray((1,), object, bytearray(8))", "uses numpy.ndarray"),
    "memory as records": ("import numpy as np\nnp.recarray((1,), object, bytearray(8))", "uses numpy.recarray"),
    "what is done when swept up": ("class A:\n    def __del__(self): pass", "defines __del__"),
    "another's text that is filled": ("def f(x):\n    return x.format(f)", "fills a text"),
    "another's text that is filled later": ("g = '{}'.format", "fills a text"),
    "a filled text as a function": ("g = str.format_map", "fills a text"),
    "numpy's settings in a generator": ("import numpy as np\nnp.errstate", "uses numpy.errstate"),
    "a shared instance": ("import unicodedata\nunicodedata.ucd_3_2_0", "uses unicodedata.ucd_3_2_0"),
    "a shared set": ("import hashlib\nhashlib.algorithms_available.add('x')", "uses hashlib.algorithms_available"),
    "a shared table of a class": (
        "import textwrap\ntextwrap.TextWrapper.unicode_whitespace_trans[1] = 2",
        "uses unicode_whitespace_trans",
    ),
    "shared tables": ("import numpy as np\nnp.sctypeDict['x'] = 1", "uses numpy.sctypeDict"),
    "a file by numpy": ("import numpy as np\nnp.load('x')", "uses numpy.load"),
    "a relative import": ("from . import x", "beside itself"),
}


@pytest.mark.parametrize(("source", "why"), PROCESSES.values(), ids=PROCESSES.keys())
def test_any_other_source_gets_a_process_for_each_call(source: str, why: str) -> None:
    assert why in sources.why_processes(ast.parse(source))


def test_every_name_that_is_left_out_exists() -> None:
    # A misspelt name would leave nothing out.
    for module, left_out in sources.WITHOUT.items():
        loaded = pytest.importorskip(module)
        missing = {name for name in left_out if not hasattr(loaded, name)}
        assert missing <= {"file_digest", "call"}, f"{module}: {missing}"


def test_no_class_that_may_be_named_has_a_container_that_all_share() -> None:
    for module in sources.WITHOUT:
        loaded = pytest.importorskip(module)
        for name in sources.lasting_names(module):
            held = getattr(loaded, name)
            for attribute in dir(held) if isinstance(held, type) else ():
                if attribute.startswith("_") or attribute in sources.FORBIDDEN_ATTRIBUTES:
                    continue
                value = getattr(held, attribute, None)
                assert not isinstance(value, dict | list | set | bytearray | ModuleType), f"{module}.{name}.{attribute}"
