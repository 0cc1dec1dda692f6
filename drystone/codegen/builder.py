"""How a kernel family records its tile program."""

from collections.abc import Callable, Sequence

from drystone.codegen.accesses import Accesses
from drystone.codegen.calculations import Calculations
from drystone.codegen.index import Index, index
from drystone.codegen.operands import Scalar, Tensor, Tile
from drystone.codegen.recorded import Rounds, TileProgram
from drystone.codegen.statements import Beside, Grid, Loop, When


class TileBuilder(Accesses, Calculations):
    """Records the statements of one kernel. Made by `tile_program`; families only call its methods."""

    def grid(self, axes: Sequence[tuple[Index | int, int]], body: Callable[..., None]) -> None:
        """Run body(start, ...) for the starts of every axis (extent, step), in parallel. Once, at the top."""
        names = tuple(self._var() for _ in axes)
        with self._body() as statements:
            body(*names)
        extents = tuple(index(extent) for extent, _ in axes)
        self._emit(Grid(names, extents, tuple(step for _, step in axes), tuple(statements)))

    def rounds(self, extent: Index | int, body: Callable[[Index], None]) -> None:
        """Run the grid that body(round) makes `extent` times, one after the other. Once, around the grid."""
        self._rounds = Rounds(self._var(), index(extent))
        body(self._rounds.var)

    def loop(
        self,
        upper: Index | int,
        step: int,
        body: Callable[..., Sequence[Tile] | Tile | None],
        carry: Sequence[Tile] = (),
        lower: Index | int = 0,
    ) -> tuple[Tile, ...]:
        """body(start, *carried) gives the tiles carried on; the last ones are returned."""
        var = self._var()
        carried = tuple(self._tile(tile.shape, tile.dtype) for tile in carry)
        with self._body() as statements:
            out = body(var, *carried)
        yielded = () if out is None else (out,) if isinstance(out, Tile) else tuple(out)
        if [(t.shape, t.dtype) for t in yielded] != [(t.shape, t.dtype) for t in carried]:
            raise ValueError(f"loop carries {carried} but its body yields {yielded}")
        results = tuple(self._tile(tile.shape, tile.dtype) for tile in carry)
        self._emit(
            Loop(
                var,
                index(lower),
                index(upper),
                step,
                carried,
                tuple(carry),
                tuple(statements),
                yielded,
                results,
            )
        )
        return results

    def when(self, left: Index | int, right: Index | int, body: Callable[[], None]) -> None:
        """Run body() where left < right."""
        with self._body() as statements:
            body()
        self._emit(When(index(left), index(right), tuple(statements)))

    def beside(self, first: Callable[[], None], second: Callable[[], Sequence[Tile]]) -> Sequence[Tile]:
        """first() and second(), whose instructions may take turns; the tiles that the second gives."""
        with self._body() as ones:
            first()
        with self._body() as others:
            out = second()
        self._emit(Beside(tuple(ones), tuple(others)))
        return out


def tile_program(
    family: str,
    tensors: Sequence[Tensor],
    body: Callable[[TileBuilder], None],
    scalars: Sequence[Scalar] = (),
) -> TileProgram:
    """Record what `body` does to a builder; it must make exactly one top-level grid."""
    builder = TileBuilder()
    body(builder)
    (top,) = builder._bodies[0]
    if not isinstance(top, Grid):
        raise ValueError(f"{family}: a tile program is one grid, not {type(top).__name__}")
    return TileProgram(
        family,
        tuple(tensors),
        tuple(scalars),
        tuple(builder._scratch),
        top,
        tuple(builder._equal),
        builder._rounds,
        tuple(builder._shared),
    )
