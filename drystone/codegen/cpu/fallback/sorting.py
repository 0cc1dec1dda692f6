"""tm_tensor.sort as a stable merge sort (upstream's own lowering exchanges neighbours: quadratic).

Every line along the sorted dimension is copied out, merged in runs of 1, 2, 4, .. elements from one buffer
into another and back, and copied home. `@NAME.stays` is the operation's region (whether the first of two
elements stays first), `@NAME.merge` one pass over a line, `@NAME` all of it.
"""

from typing import Any

from drystone.mlir import func, ir, parse, walk


def lower_sorts(module: Any, name: str) -> list[Any]:
    """Replace every tm_tensor.sort on memrefs by a call of a function whose name starts with `name`; modules
    of the functions, for after the passes that manage memory (these manage their own)."""
    sorts = [op.operation for op in walk(module) if op.operation.name == "tm_tensor.sort"]
    return [_lower(module, op, f"{name}.sort{number}") for number, op in enumerate(sorts)]


def _lower(module: Any, op: Any, name: str) -> Any:
    memories = list(op.operands)
    elements = [str(memory.type.element_type) for memory in memories]
    axis = ir.IntegerAttr(op.attributes["dimension"]).value
    pairs = ", ".join(f"{e}, {e}" for e in elements)
    declared = f"func.func private @{name}.stays({pairs}) -> i1\n"
    text = _merge(name, elements) + _sort(name, [str(memory.type) for memory in memories], elements, axis)
    made = parse(declared + text, module.context)
    _compare(made.body.operations[0], op)
    with ir.InsertionPoint.at_block_begin(module.body), op.location:
        func.FuncOp(name, ([memory.type for memory in memories], []), visibility="private")
    with ir.InsertionPoint(op):
        func.CallOp([], name, memories)
    op.erase()
    return made


def define(module: Any, made: Any) -> None:
    """Move the functions of a sort into the module, in place of their declaration there."""
    functions = list(made.body.operations)
    names = [function.name.value for function in functions]
    for op in list(module.body.operations):
        if op.operation.attributes["sym_name"].value in names:
            op.operation.erase()
    for function in functions:
        module.body.append(function)


def _compare(function: Any, op: Any) -> None:
    """Move the operation's region into the function declared for it."""
    op.regions[0].blocks[0].append_to(function.operation.regions[0])
    moved = function.operation.regions[0].blocks[0]
    last = moved.operations[len(moved.operations) - 1]
    with ir.InsertionPoint(last), op.location:
        func.ReturnOp(list(last.operation.operands))
    last.operation.erase()


def _merge(name: str, elements: list[str]) -> str:
    """Merge neighbouring runs of %run elements of the lines %s.. into the lines %d..."""
    numbered = list(enumerate(elements))
    arguments = ", ".join(f"%s{i}: memref<?x{e}>, %d{i}: memref<?x{e}>" for i, e in numbered)
    load = "\n".join(
        f"      %a{i} = memref.load %s{i}[%ai] : memref<?x{e}>\n"
        f"      %b{i} = memref.load %s{i}[%bi] : memref<?x{e}>"
        for i, e in numbered
    )
    store = "\n".join(
        f"      %v{i} = arith.select %left, %a{i}, %b{i} : {e}\n"
        f"      memref.store %v{i}, %d{i}[%k] : memref<?x{e}>"
        for i, e in numbered
    )
    given = ", ".join(f"%a{i}, %b{i}" for i, _ in numbered)
    pairs = ", ".join(f"{e}, {e}" for e in elements)
    return f"""
func.func private @{name}.merge({arguments}, %n: index, %run: index) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %last = arith.subi %n, %c1 : index
  %two = arith.addi %run, %run : index
  scf.for %low = %c0 to %n step %two {{
    %m = arith.addi %low, %run : index
    %middle = arith.minui %m, %n : index
    %h = arith.addi %low, %two : index
    %high = arith.minui %h, %n : index
    %ends:2 = scf.for %k = %low to %high step %c1 iter_args(%i = %low, %j = %middle) -> (index, index) {{
      %ai = arith.minui %i, %last : index
      %bi = arith.minui %j, %last : index
{load}
      %stays = func.call @{name}.stays({given}) : ({pairs}) -> i1
      %some = arith.cmpi ult, %i, %middle : index
      %none = arith.cmpi uge, %j, %high : index
      %first = arith.ori %none, %stays : i1
      %left = arith.andi %some, %first : i1
{store}
      %one = arith.index_castui %left : i1 to index
      %other = arith.subi %c1, %one : index
      %ni = arith.addi %i, %one : index
      %nj = arith.addi %j, %other : index
      scf.yield %ni, %nj : index, index
    }}
  }}
  return
}}
"""


def _sort(name: str, kinds: list[str], elements: list[str], axis: int) -> str:
    """Sort every line of the memrefs %m.. along `axis`."""
    numbered = list(enumerate(zip(kinds, elements, strict=True)))
    rank = ir.MemRefType(ir.Type.parse(kinds[0])).rank
    place = ", ".join("%k" if d == axis else f"%x{d}" for d in range(rank))
    dims = "\n".join(
        f"  %e{d} = arith.constant {d} : index\n  %n{d} = memref.dim %m0, %e{d} : {kinds[0]}"
        for d in range(rank)
    )
    outer = [d for d in range(rank) if d != axis]
    opened = "".join(f"  scf.for %x{d} = %c0 to %n{d} step %c1 {{\n" for d in outer)
    buffers = "\n".join(
        f"  %{v}{i} = memref.alloc(%n{axis}) : memref<?x{e}>" for i, (_, e) in numbered for v in "pq"
    )
    freed = "\n".join(f"  memref.dealloc %{v}{i} : memref<?x{e}>" for i, (_, e) in numbered for v in "pq")
    copied = "\n".join(
        f"    %v{i} = memref.load %m{i}[{place}] : {kind}\n    memref.store %v{i}, %p{i}[%k] : memref<?x{e}>"
        for i, (kind, e) in numbered
    )
    home = "\n".join(
        f"    %w{i} = memref.load %r#{2 * i + 1}[%k] : memref<?x{e}>\n"
        f"    memref.store %w{i}, %m{i}[{place}] : {kind}"
        for i, (kind, e) in numbered
    )
    lines = [f"memref<?x{e}>" for e in elements for _ in range(2)]
    types = ", ".join(["index", *lines])
    start = ", ".join(f"%s{i} = %p{i}, %d{i} = %q{i}" for i, _ in numbered)
    here = ", ".join(f"%s{i}, %d{i}" for i, _ in numbered)
    inside = ", ".join(f"%s{i}: {lines[2 * i]}, %d{i}: {lines[2 * i]}" for i, _ in numbered)
    turned = ", ".join(f"%d{i}, %s{i}" for i, _ in numbered)
    return f"""
func.func private @{name}({", ".join(f"%m{i}: {kind}" for i, (kind, _) in numbered)}) {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
{dims}
{buffers}
{opened}  scf.for %k = %c0 to %n{axis} step %c1 {{
{copied}
  }}
  %r:{1 + len(lines)} = scf.while (%run = %c1, {start}) : ({types}) -> ({types}) {{
    %more = arith.cmpi ult, %run, %n{axis} : index
    scf.condition(%more) %run, {here} : {types}
  }} do {{
  ^bb0(%run: index, {inside}):
    func.call @{name}.merge({here}, %n{axis}, %run) : ({", ".join(lines)}, index, index) -> ()
    %two = arith.addi %run, %run : index
    scf.yield %two, {turned} : {types}
  }}
  scf.for %k = %c0 to %n{axis} step %c1 {{
{home}
  }}
{"  }" * len(outer)}
{freed}
  return
}}
"""
