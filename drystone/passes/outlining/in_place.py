"""Which arguments of a kernel its results may overwrite."""

from typing import Any

from drystone.ir.values import captured, operand_groups
from drystone.mlir import ir
from drystone.passes.fusing.epilogues import with_epilogue
from drystone.passes.generic import is_identity


def in_place(kernel: Any) -> list[list[int]]:
    """[result, argument] pairs of a kernel whose result may share memory with the argument.

    True of a linalg.generic over parallel dimensions only that reads the argument at the very element it
    writes, of what the epilogue of a product or a convolution reads so (a residual), of what a normalization
    or a softmax reads line by line, and of an operation that updates a copy of the argument. It is the
    caller's to see that the argument dies there and that no other argument shares its memory.
    """
    block = kernel.entry_block
    arguments = list(block.arguments)
    operations = [op.operation for op in block.operations]
    returned = list(operations[-1].operands)
    pairs: list[list[int]] = []
    for operation in operations[:-1]:
        if operation.name == "linalg.copy" and operation.results[0] not in returned:
            source, init = (arguments.index(operand) for operand in operation.operands)
            result = init - (len(arguments) - _scalars(arguments) - len(returned))
            if _uses(arguments[source], block) == 1:
                pairs.append([result, source])
        elif operation.name == "linalg.generic":
            pairs.extend(_elementwise(operation, arguments, returned))
        else:
            pairs.extend(_line_by_line(operation, arguments, returned))
    return sorted(pairs)


def _line_by_line(operation: Any, arguments: list[Any], returned: list[Any]) -> list[list[int]]:
    """The pairs of an operation of the dialect `dry`: each of its results with each operand of which it reads
    the last of a line, or an element, before it writes there."""
    read: list[Any] = []
    if operation.name in with_epilogue():
        maps = [attribute.value for attribute in operation.attributes["extra_maps"]]
        read = [v for v, map_ in zip(list(operation.operands)[2:], maps, strict=True) if is_identity(map_)]
    elif operation.name == "dry.norm":
        (x,), _, _, residuals = operand_groups(operation)
        read = [x, *residuals]
    elif operation.name in ("dry.softmax", "dry.write_rows"):
        read = [operation.operands[0]]
    results = [value for value in operation.results if value in returned]
    return [
        [returned.index(value), arguments.index(source)]
        for value in results
        for source in dict.fromkeys(read)
        if source in arguments and source.type == value.type and len(list(source.uses)) == 1
    ]


def _scalars(arguments: list[Any]) -> int:
    return sum(not isinstance(argument.type, ir.RankedTensorType) for argument in arguments)


def _uses(value: Any, block: Any) -> int:
    return sum(1 for _ in value.uses)


def _elementwise(operation: Any, arguments: list[Any], returned: list[Any]) -> list[list[int]]:
    if "reduction" in str(operation.attributes["iterator_types"]):
        return []
    maps = [attribute.value for attribute in operation.attributes["indexing_maps"]]
    operands = list(operation.operands)
    results = list(operation.results)
    first = len(operands) - len(results)
    outside = captured(operation.opview)
    pairs = []
    for number, argument in enumerate(arguments):
        places = [i for i in range(first) if operands[i] == argument]
        if not places or argument in outside:
            continue
        # Results are stored one after another: only the last is sure to come after every read.
        for result, value in list(enumerate(results))[-1:]:
            same = all(maps[i] == maps[first + result] for i in places)
            if same and argument.type == value.type and maps[first + result].is_permutation:
                pairs.append([returned.index(value), number])
    return pairs
