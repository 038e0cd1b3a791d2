"""Parser of circuits in OpenQASM 3: the steps of `qiskit.qasm3.loads`, with one error and nothing printed."""

from __future__ import annotations

import re
from typing import Any

from qiskit import QuantumCircuit
from qiskit_qasm3_import import ConversionError, api, convert

_PARSER: Any = api.openqasm3.parser  # type: ignore[attr-defined]  # the importer's own parser, with ANTLR's names in it
_TAKEN_NAME = re.compile(r"Symbol '(\w+)' already inserted")


class InvalidOpenQasm(ValueError):
    """A text is no circuit in OpenQASM 3: the `line`, if it is known, and the `reason`."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


def parse_openqasm(text: str) -> QuantumCircuit:
    """Return the circuit of a text. Raises InvalidOpenQasm."""
    try:
        return convert(_parse(text))
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


class _LexerErrors(_PARSER.ErrorListener):  # type: ignore[misc]  # ANTLR has no types
    """Listener for characters with which no word of the language begins."""

    def syntaxError(self, _lexer: object, _symbol: object, line: int, *_: object) -> None:
        """Raise InvalidOpenQasm with the line."""
        raise InvalidOpenQasm(line, "it can't be parsed from this line on")


def _line_of_token(error: BaseException) -> int | None:
    """Return the line of an ANTLR parser error: its argument is the recognition error."""
    recognition = next(iter(error.args), None)
    return getattr(getattr(recognition, "offendingToken", None), "line", None)
