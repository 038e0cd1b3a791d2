"""Parser of circuits in OpenQASM 3: the steps of `qiskit.qasm3.loads`, with constants, one error, nothing printed."""

from __future__ import annotations

import re
from typing import Any

from qiskit import QuantumCircuit
from qiskit_qasm3_import import ConversionError, api, types
from qiskit_qasm3_import.converter import ConvertVisitor
from qiskit_qasm3_import.data import Symbol
from qiskit_qasm3_import.exceptions import raise_from_node

from hybridloop.algorithms.circuits.openqasm_includes import read_with_gates

_PARSER: Any = api.openqasm3.parser  # type: ignore[attr-defined]  # the importer's own parser, with ANTLR's names in it
_GATE_DEFINITION: Any = api.openqasm3.ast.QuantumGateDefinition  # type: ignore[attr-defined]
_MAX_BITS = 4096  # of a register: the importer makes an object for each
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
        reason = "it can't be parsed from this line on" if token_line else f"{type(error).__name__} ({error})"
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
    """Converter of a syntax tree, with constants, parameters of gates in their order, and bounded registers."""

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


class _LexerErrors(_PARSER.ErrorListener):  # type: ignore[misc]  # ANTLR has no types
    """Listener for characters with which no word of the language begins."""

    def syntaxError(self, _lexer: object, _symbol: object, line: int, *_: object) -> None:
        """Raise InvalidOpenQasm with the line."""
        raise InvalidOpenQasm(line, "it can't be parsed from this line on")


def _line_of_token(error: BaseException) -> int | None:
    """Return the line of an ANTLR parser error: its argument is the recognition error."""
    recognition = next(iter(error.args), None)
    return getattr(getattr(recognition, "offendingToken", None), "line", None)
