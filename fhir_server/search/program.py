"""Everything that is indexed of one resource type, merged into one tree that follows the JSON.

A resource is walked once: at each property the tree says whether some parameter goes on below it or ends at it. What
the resource does not have costs nothing, and a value that several parameters share is converted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.r4b.definitions import SearchParameter
from fhir_server.search.paths import Computed, Key, Leaf, Nth, Root, Step, Test, follow, leaves_of
from fhir_server.search.sink import Emit, Names, Sink
from fhir_server.search.values import emitter

#: The store keeps these itself, or they index nothing.
NOT_INDEXED = frozenset({"_id", "_lastUpdated"})


class Program:
    """Compiled for one type and one state of the registry. component_types: url of a parameter -> its search type.

    Raises ExpressionError when built from a bad expression."""

    __slots__ = ("_composites", "_tree")

    def __init__(self, type: str, parameters: Iterable[SearchParameter], component_types: Mapping[str, str]) -> None:
        plain: list[tuple[Leaf, Emit, str]] = []
        composites: list[_Composite] = []
        for parameter in parameters:
            if parameter.code in NOT_INDEXED or not parameter.expression:
                continue
            if parameter.type == "composite":
                composite = _composite(type, parameter, component_types)
                if composite is not None:
                    composites.append(composite)
            else:
                plain.extend(_targets(parameter.code, parameter.type, parameter.expression, type))
        self._tree = _tree(plain)
        self._composites = tuple(composites)

    def run(self, resource: dict[str, Any], sink: Sink) -> None:
        _walk(self._tree, resource, sink, 0)
        for composite in self._composites:
            composite.run(resource, sink)


class _Node:
    """`keys` below an object; `emits` what ends here; the rest are the rarer steps."""

    __slots__ = ("computed", "emits", "keys", "nths", "root", "tests")

    def __init__(self) -> None:
        self.keys: dict[str, _Node] = {}
        self.emits: tuple[tuple[Emit, Names], ...] = ()
        self.tests: list[tuple[Test, _Node]] = []
        self.nths: list[tuple[int, _Node]] = []
        self.computed: list[tuple[Computed, _Node]] = []
        self.root: _Node | None = None


def _walk(node: _Node, value: Any, sink: Sink, el: int) -> None:
    for emit, names in node.emits:
        try:
            emit(names, value, sink, el)
        except (TypeError, AttributeError, ValueError, KeyError, ArithmeticError):
            # Not a value of the declared type: validation's business, nothing to index.
            continue
    if node.keys and isinstance(value, dict):
        keys = node.keys
        for name, child in value.items():
            if name in keys:
                below = keys[name]
                if type(child) is list:
                    for item in child:
                        if item is not None:
                            _walk(below, item, sink, el)
                    for position, nth in below.nths:
                        if position < len(child) and child[position] is not None:
                            _walk(nth, child[position], sink, el)
                elif child is not None:
                    _walk(below, child, sink, el)
                    for position, nth in below.nths:
                        if position == 0:
                            _walk(nth, child, sink, el)
    for test, below in node.tests:
        try:
            holds = test.holds(value, sink.resource)
        except (TypeError, AttributeError):
            continue
        if holds:
            _walk(below, value, sink, el)
    for computed, below in node.computed:
        for result in computed.values(value, sink.resource):
            _walk(below, result, sink, el)
    if node.root is not None:
        _walk(node.root, sink.resource, sink, el)


def _tree(targets: Sequence[tuple[Leaf, Emit, str]]) -> _Node:
    root = _Node()
    ends: dict[int, tuple[_Node, dict[Emit, list[str]]]] = {}
    for leaf, emit, param in targets:
        node = root
        for step in leaf.steps:
            node = _below(node, step)
        _, emits = ends.setdefault(id(node), (node, {}))
        emits.setdefault(emit, []).append(param)
    for node, emits in ends.values():
        node.emits = tuple((emit, Names(params)) for emit, params in emits.items())
    return root


def _below(node: _Node, step: Step) -> _Node:
    match step:
        case Key(name):
            return node.keys.setdefault(name, _Node())
        case Nth(position):
            return _in(node.nths, position)
        case Test():
            return _in(node.tests, step)
        case Computed():
            return _in(node.computed, step)
        case Root():
            node.root = node.root or _Node()
            return node.root


def _in(branches: list[tuple[Any, _Node]], step: Any) -> _Node:
    for known, below in branches:
        if known == step:
            return below
    branches.append((step, _Node()))
    return branches[-1][1]


def _targets(param: str, search_type: str, expression: str, type: str) -> list[tuple[Leaf, Emit, str]]:
    found = []
    for leaf in leaves_of(expression, type):
        emit = emitter(search_type, leaf.type, leaf.element)
        if emit is not None:
            found.append((leaf, emit, param))
    return found


@dataclass(frozen=True, slots=True)
class _Composite:
    """The places of a composite parameter's elements, and for each place a tree per component, relative to the element.

    An element is indexed only when every component has a value there: no search could ask for less."""

    places: tuple[tuple[tuple[Step, ...], tuple[_Node, ...]], ...]

    def run(self, resource: dict[str, Any], sink: Sink) -> None:
        el = 0
        for steps, components in self.places:
            for element in follow(steps, resource, resource) if steps else (resource,):
                # A look at the keys spares most resources the conversion of a component whose partner is not there.
                if isinstance(element, dict) and all(
                    node.root is not None or not node.keys.keys().isdisjoint(element) for node in components
                ):
                    self._element(element, components, sink, el)
                el += 1

    def _element(self, element: Any, components: tuple[_Node, ...], sink: Sink, el: int) -> None:
        own = Sink(sink.resource, sink.base_urls)
        for node in reversed(components):
            before = own.size()
            _walk(node, element, own, el)
            if own.size() == before:
                return
        sink.take(own)


def _composite(type: str, parameter: SearchParameter, component_types: Mapping[str, str]) -> _Composite | None:
    places = []
    for leaf in leaves_of(parameter.expression, type):
        components = tuple(
            _tree(
                _targets(
                    f"{parameter.code}${number}",
                    component_types.get(component.definition, ""),
                    component.expression,
                    leaf.type,
                )
            )
            for number, component in enumerate(parameter.components)
        )
        if components and all(node.keys or node.root is not None for node in components):
            places.append((leaf.steps, components))
    return _Composite(tuple(places)) if places else None
