"""Parser of circuits in OpenQASM 3: the steps of `qiskit.qasm3.loads`, with one error, and nothing printed.

It also reads constants, powers, arrays of input angles, and loops over constants, which it unrolls.
"""

from __future__ import annotations

import re
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.exceptions import QiskitError
from qiskit_qasm3_import import ConversionError, api, types
from qiskit_qasm3_import.converter import ConvertVisitor
from qiskit_qasm3_import.data import Scope, Symbol
from qiskit_qasm3_import.exceptions import raise_from_node
from qiskit_qasm3_import.expression import ValueResolver, join_numeric_types
from qiskit_qasm3_import.state import LocalScope

from hybridloop.algorithms.circuits.openqasm_includes import read_with_gates

_PARSER: Any = api.openqasm3.parser  # type: ignore[attr-defined]  # the importer's own parser, with ANTLR's names in it
_GATE_DEFINITION: Any = api.openqasm3.ast.QuantumGateDefinition  # type: ignore[attr-defined]
_MAX_BITS = 4096  # of a register: the importer makes an object for each
_MAX_STATEMENTS = 10_000  # of unrolled loops
_NO_OPERANDS = "this statement has no such operands"
_WORDS = {
    IndexError: "an index is out of range",
    ZeroDivisionError: "it divides by zero",
    OverflowError: "a number is out of range",
}
_NUMBERS = types.Int, types.Uint, types.Float
_CONSTANT_TYPES: Any = {"FloatType": (types.Float, float), "IntType": (types.Int, int), "UintType": (types.Uint, int)}
_TAKEN_NAME = re.compile(r"Symbol '(\w+)' already inserted")


class InvalidOpenQasm(ValueError):
    """A text is no circuit in OpenQASM 3: the `line`, if it is known, and the `reason`."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


def parse_openqasm(text: str, name: str) -> QuantumCircuit:
    """Return the circuit of a text, with the standard gates and a warning if it needs and does not include them.

    Raises InvalidOpenQasm.
    """
    return read_with_gates(text, name, _circuit, InvalidOpenQasm)


def _circuit(text: str) -> QuantumCircuit:
    try:
        return _Converter().convert(_parse(text)).circuit
    except InvalidOpenQasm:
        raise
    except ConversionError as error:
        taken = _TAKEN_NAME.search(error.message)
        position, _, reason = error.message.partition(": ")  # the importer's messages begin with `line,column: `
        line = position.partition(",")[0]
        has_line = line.isdigit()
        if taken:
            reason = f"the name {taken[1]!r} is declared twice, or is that of a gate of stdgates.inc"
        raise InvalidOpenQasm(
            int(line) if has_line else None, (reason if has_line else error.message).rstrip(".")
        ) from error
    except RecursionError as error:
        raise InvalidOpenQasm(None, "an expression is too long") from error
    except Exception as error:  # the parser's errors have no text; the importer fails on numbers out of range
        token_line = _line_of_token(error)
        reason = "it can't be parsed from this line on" if token_line else "a number of it is out of range"
        raise InvalidOpenQasm(token_line, reason) from error


def _parse(text: str) -> Any:
    """Return the syntax tree, as `openqasm3.parse` does, which lets ANTLR print a line for an unknown character."""
    lexer = _PARSER.qasm3Lexer(_PARSER.InputStream(text))
    lexer.removeErrorListeners()
    lexer.addErrorListener(_LexerErrors())
    grammar = _PARSER.qasm3Parser(_PARSER.CommonTokenStream(lexer))
    grammar.removeErrorListeners()
    grammar._errHandler = _PARSER.BailErrorStrategy()  # ANTLR for Python has no other way to set it
    return _PARSER.QASMNodeVisitor().visitProgram(grammar.program())


class _Converter(ConvertVisitor):
    """Converter of a syntax tree, with the additions of this module, gates' parameters in order, and bounds."""

    def __init__(self) -> None:
        super().__init__()
        self._unrolled = 0  # statements of loops so far

    def visit(self, node: Any, context: Any = None) -> Any:
        """Visit a node; an error of Qiskit's gets its line."""
        try:
            return super().visit(node, context)
        except (QiskitError, TypeError, ValueError, OverflowError, ZeroDivisionError, IndexError) as error:
            line = getattr(getattr(node, "span", None), "start_line", None)
            if isinstance(error, ConversionError | InvalidOpenQasm) or line is None:
                raise
            words = str(getattr(error, "message", "")).strip().rstrip(".") or _WORDS.get(type(error), _NO_OPERANDS)
            raise InvalidOpenQasm(line, words) from error

    def _resolve_generic(self, node: Any, context: Any, strict: bool) -> Any:  # noqa: FBT001  # the importer's own
        return _Values(context, strict).resolve(node)

    def visit_IODeclaration(self, node: Any, context: Any) -> Any:
        """Enter an input; an array of floats or angles is a vector of parameters."""
        if type(node.type).__name__ != "ArrayType":
            return super().visit_IODeclaration(node, context)
        kind = {"FloatType": types.Float, "AngleType": types.Angle}.get(type(node.type.base_type).__name__)
        if kind is None or len(node.type.dimensions) != 1 or node.io_identifier.name != "input":
            raise_from_node(node, "arrays are inputs of type float or angle, with one dimension")
        assert kind is not None
        name, size = node.identifier.name, self._resolve_constant_int(node.type.dimensions[0], context)
        vector = ParameterVector(name, size)
        context.symbol_table.insert(Symbol(name, vector, _AngleArray(size, kind()), Scope.GLOBAL, node))
        context.all_parameters.update(vector)
        return context

    def visit_ForInLoop(self, node: Any, context: Any) -> Any:
        """Convert the body of a loop over constants for each of them; one that may end early stays a loop."""
        if _may_leave(node.block):
            return super().visit_ForInLoop(node, context)
        values, kind = self._resolve_generic(node.set_declaration, context, strict=True)
        if isinstance(kind, types.Range):
            if values.start is None or values.stop is None or values.step == 0:
                raise_from_node(node, "a loop's range has a start, an end, and a step that is not 0")
            values = range(values.start, values.stop, values.step or 1)
        elif not isinstance(kind, types.Sequence):
            raise_from_node(node, "loops are over ranges and sets of constant integers")
        for value in values:
            self._unrolled += 1 + len(node.block)
            if self._unrolled > _MAX_STATEMENTS:
                raise_from_node(node, f"its loops have more than {_MAX_STATEMENTS:,} statements")
            with LocalScope(context) as inner:
                symbols: Any = inner.symbol_table
                symbols.insert(Symbol(node.identifier.name, value, types.Int(const=True), Scope.LOCAL, node))
                for statement in node.block:
                    self.visit(statement, inner)
                    if len(context.circuit.data) > _MAX_STATEMENTS:
                        raise_from_node(node, f"its loops make more than {_MAX_STATEMENTS:,} gates")
        return context

    def visit_ConstantDeclaration(self, node: Any, context: Any) -> Any:
        """Enter the value of a constant, a float, int or uint, into the symbols of its scope."""
        known = _CONSTANT_TYPES.get(type(node.type).__name__)
        value, kind = self._resolve_generic(node.init_expression, context, strict=False)
        if known is None or not getattr(kind, "const", False) or not isinstance(value, int | float):
            raise_from_node(node, "constants are of type float, int or uint, with a constant value")
        make_type, convert = known
        size = getattr(node.type, "size", None) if convert is int else None
        most = 2 ** min(63, 63 if size is None else self._resolve_constant_int(size, context))
        if not (0 if make_type is types.Uint else -most) <= value < most:
            raise_from_node(node, "a constant is out of the range of its type")
        symbol = Symbol(node.identifier.name, convert(value), make_type(const=True), context.scope, node)
        context.symbol_table.insert(symbol)
        return context

    def _define_gate(self, name: str, builder: Any, *arguments: Any) -> Any:
        """Define a gate; the importer would bind the parameters of the text's own gates in alphabetical order."""
        definition = arguments[2]
        if isinstance(definition, _GATE_DEFINITION):
            places = {argument.name: place for place, argument in enumerate(definition.arguments)}
            builder._order = tuple(sorted(builder._order, key=lambda parameter: places[parameter.name]))
        return super()._define_gate(name, builder, *arguments)

    def _resolve_constant_int(self, node: Any, context: Any) -> int:
        size: int = super()._resolve_constant_int(node, context)
        if size > _MAX_BITS:
            raise_from_node(node, f"a register's size is above {_MAX_BITS}")
        return size


def _may_leave(block: Any) -> bool:
    """Return whether statements of a loop's body end it, or one of its rounds."""
    return any(
        type(each).__name__ in ("BreakStatement", "ContinueStatement")
        or _may_leave([*getattr(each, "if_block", ()), *getattr(each, "else_block", ())])
        for each in block
    )


class _AngleArray(types.Type):
    """An array of input angles."""

    def __init__(self, size: int, of: Any) -> None:
        self.size = size
        self.of = of

    def pretty(self) -> str:
        """Return it as in the language."""
        return f"array[{self.of.pretty()}, {self.size}]"


class _Values(ValueResolver):
    """Resolver of expressions, with powers and elements of arrays of angles."""

    def visit_BinaryExpression(self, node: Any) -> Any:
        """Return value and type of an expression of two operands."""
        if node.op.name != "**":
            return super().visit_BinaryExpression(node)
        (base, base_type), (power, power_type) = self.visit(node.lhs), self.visit(node.rhs)
        if not isinstance(base_type, _NUMBERS) or not isinstance(power_type, _NUMBERS) or not power_type.const:
            raise_from_node(node, "a power is of a number, and its exponent is a constant")
        size = base.bit_length() if isinstance(base, int) else 1
        if abs(power) * max(1, size) > _MAX_BITS:  # else a short text has a number of gigabytes
            raise_from_node(node, "a power is out of range")
        value = base**power
        if isinstance(value, complex):
            raise_from_node(node, "a power is no real number")
        is_whole = isinstance(value, int)
        return value, join_numeric_types(base_type, power_type) if is_whole else types.Float(const=base_type.const)

    def _index_collection(self, collection: Any, collection_type: Any, indexer: Any, base: Any) -> Any:
        if not isinstance(collection_type, _AngleArray):
            return super()._index_collection(collection, collection_type, indexer, base)
        index, kind = self.visit(indexer[0]) if isinstance(indexer, list) and len(indexer) == 1 else (None, None)
        if not isinstance(kind, types.Int | types.Uint) or not kind.const:
            raise_from_node(base, "an array of angles takes one constant index")
        assert isinstance(index, int)
        if not -collection_type.size <= index < collection_type.size:
            raise_from_node(base, f"the index {index} is out of range of an array of {collection_type.size}")
        return collection[index % collection_type.size], collection_type.of


class _LexerErrors(_PARSER.ErrorListener):  # type: ignore[misc]  # ANTLR has no types
    """Listener for characters with which no word of the language begins."""

    def syntaxError(self, _lexer: object, _symbol: object, line: int, *_: object) -> None:
        """Raise InvalidOpenQasm with the line."""
        raise InvalidOpenQasm(line, "it can't be parsed from this line on")


def _line_of_token(error: BaseException) -> int | None:
    """Return the line of an ANTLR parser error: its argument is the recognition error."""
    recognition = next(iter(error.args), None)
    return getattr(getattr(recognition, "offendingToken", None), "line", None)
