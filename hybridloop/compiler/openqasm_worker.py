"""OpenQASM 3 as QIR, by Q#'s compiler, in the process of `qsharp_worker`.

The compiler differs from the language in two points, which are settled in the text before. It reads bit 0 of a register
as the highest bit of a number: a register that is read as a number becomes the sum of its bits. It returns numbers as
well as bits: each declared bit and register of bits becomes an `output`, unless the text declares outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qdk import TargetProfile
from qdk.openqasm import OutputSemantics, QasmError, compile, semantic
from qdk.qsharp import QSharpError

_NUMBERS = semantic.IntType, semantic.UintType
_BITS = semantic.BitType, semantic.BitArrayType


@dataclass(frozen=True, slots=True)
class _Edit:
    """Replacement of the bytes from `low` to `high` of a text."""

    low: int
    high: int
    text: str


def compile_openqasm(source: str, profile: str) -> str:
    """Return the QIR of a text in OpenQASM 3. No file is read. Raises QSharpError."""
    result = semantic.analyze(source)  # reads no files: an include that the compiler does not have is an error
    if result.has_errors:
        raise QSharpError("\n".join(item.render(color=False, unicode=False) for item in result.diagnostics))
    data = source.encode()
    edits = {*_output_edits(result.program, data), *_register_edits(result.program, data)}
    for edit in sorted(edits, key=lambda edit: edit.low, reverse=True):
        line_ends = b"\n" * data.count(b"\n", edit.low, edit.high)  # errors keep their lines
        data = data[: edit.low] + edit.text.encode() + line_ends + data[edit.high :]
    try:
        target_profile = getattr(TargetProfile, profile)
        return str(compile(data.decode(), target_profile=target_profile, output_semantics=OutputSemantics.OpenQasm))
    except QasmError as error:  # no subclass of Exception
        raise QSharpError(str(error)) from None


def _output_edits(program: Any, data: bytes) -> Iterator[_Edit]:
    """Yield the declarations of bits as outputs, with their first values as assignments."""
    if any(isinstance(item, semantic.OutputDeclaration) for item in program.statements):
        return
    declared = [
        item
        for item in program.statements
        if isinstance(item, semantic.ClassicalDeclaration)
        and isinstance(item.type, _BITS)
        and not data.startswith(b"const", item.span.lo)
    ]
    if not declared:
        raise QSharpError("  x it declares no bits, so its jobs would have no counts")
    for item in declared:
        size = f"[{item.type.size}]" if isinstance(item.type, semantic.BitArrayType) else ""
        output, value = f"output bit{size} {item.name};", item.init_expr.span
        if value == item.span:  # the compiler's own zeros
            yield _Edit(item.span.lo, item.span.hi, output)
        else:
            yield _Edit(item.span.lo, value.lo, f"{output} {item.name} = ")


def _register_edits(program: Any, data: bytes) -> Iterator[_Edit]:
    """Yield the sums in place of registers that are read as numbers. Raises QSharpError for other conversions."""
    nodes = list(program.statements)
    while nodes:
        node = nodes.pop()
        nodes += node.children()
        if isinstance(node, semantic.LiteralExpression) and _is_register(node):
            if data[node.span.lo : node.span.lo + 1] in (b'"', b"'"):
                raise _refused("a string of bits is not taken: set each bit", node, data)
        if not isinstance(node, semantic.Cast):
            continue
        inner = node.operand
        if _is_register(node) and not _is_register(inner) and not isinstance(inner, semantic.LiteralExpression):
            raise _refused("a number is not taken as a register of bits: set each bit", node, data)
        if _is_register(inner) and isinstance(node.ty, _NUMBERS) and isinstance(inner, semantic.Identifier):
            bits = [f"{2**place} * int({inner.name}[{place}])" for place in range(inner.ty.size)]
            yield _Edit(inner.span.lo, inner.span.hi, f"({' + '.join(bits)})")
        elif _is_register(inner) and not isinstance(node.ty, semantic.BoolType | semantic.BitArrayType):
            raise _refused("a register of bits is only taken as int or uint, by its name", node, data)


def _is_register(node: Any) -> bool:
    """Return whether an expression has several bits."""
    return isinstance(node.ty, semantic.BitArrayType) and node.ty.size > 1


def _refused(reason: str, node: Any, data: bytes) -> QSharpError:
    """Return an error in the form of the compiler's."""
    line = data.count(b"\n", 0, node.span.lo) + 1
    return QSharpError(f"  x {reason}\n   ,-[<source>:{line}:1]")
