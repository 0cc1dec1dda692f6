"""Every measurement ever made, kept under the kernel's signature and the point: SQLite in a file, or any
database that SQLAlchemy reaches."""

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from drystone import env
from drystone.autotune.measurements import Best, Measurement, best_of, point_text
from drystone.autotune.task import Task, code_version
from drystone.autotune.worker import Outcome
from drystone.codegen.search import Point
from drystone.errors import UserError

#: Version of the tables; one that is newer is refused.
SCHEMA = 1
#: Rows written at once.
_ROWS = 500

_META = sql.MetaData()
_ABOUT = sql.Table("drystone", _META, sql.Column("schema", sql.Integer, primary_key=True))
_KERNELS = sql.Table(
    "kernels",
    _META,
    sql.Column("signature", sql.String(32), primary_key=True),
    sql.Column("label", sql.Text, nullable=False),
    sql.Column("version", sql.String(32), nullable=False),
    sql.Column("task", sql.Text, nullable=False),
)
_MEASUREMENTS = sql.Table(
    "measurements",
    _META,
    sql.Column("id", sql.String(32), primary_key=True),
    sql.Column("signature", sql.String(32), nullable=False, index=True),
    sql.Column("point", sql.Text, nullable=False),
    sql.Column("status", sql.String(16), nullable=False),
    sql.Column("seconds", sql.Float),
    sql.Column("baseline", sql.Float),
    sql.Column("detail", sql.Text, nullable=False),
    sql.Column("features", sql.Text, nullable=False),
    sql.Column("machine", sql.Text, nullable=False),
    sql.Column("at", sql.Float, nullable=False),
)


class Database:
    """Measurements in tables `kernels` and `measurements`.

    where: a file (SQLite), or an SQLAlchemy URL ("postgresql+psycopg://user@host/name"); by default
    `default_path()`. Raises UserError where it cannot be reached, or was written by a newer drystone.
    """

    def __init__(self, where: str | Path | None = None) -> None:
        self.where = str(where or default_path())
        try:
            self._engine = sql.create_engine(_url(self.where))
            with self._engine.begin() as connection:
                self._prepare(connection)
        except (ArgumentError, NoSuchModuleError) as error:
            raise UserError(
                f"{self.where} names no database: {error}",
                hint="give a file, or an SQLAlchemy URL such as sqlite:///tuning.db",
            ) from error
        except ModuleNotFoundError as error:
            raise UserError(
                f"{self.where} needs the Python package {error.name}", hint=f"pip install {error.name}"
            ) from error
        except (DBAPIError, OSError) as error:
            reason = error.orig if isinstance(error, DBAPIError) else error
            raise UserError(
                f"the tuning database {self.where} cannot be used: {reason}",
                hint="check the path or URL; measurements are kept there and nothing else",
            ) from error

    def _prepare(self, connection: sql.Connection) -> None:
        found = SCHEMA
        there = sql.inspect(connection).has_table(_ABOUT.name)
        if there:
            found = connection.execute(sql.select(sql.func.max(_ABOUT.c.schema))).scalar_one()
        if found > SCHEMA:
            raise UserError(
                f"the tables of the tuning database {self.where} are of version {found}, newer than {SCHEMA}",
                hint="use a newer drystone, or another file",
            )
        _META.create_all(connection)
        if not there:
            connection.execute(sql.insert(_ABOUT).values(schema=SCHEMA))

    def record(self, task: Task, point: Point, outcome: Outcome, features: dict[str, float]) -> Measurement:
        """Keep one trial made now."""
        made = Measurement(task.signature(), point, outcome, features, time.time())
        kernel = {
            "signature": made.signature,
            "label": task.label,
            "version": code_version(),
            "task": json.dumps(task.as_data(), sort_keys=True),
        }
        self._add([kernel], [_row(made)])
        return made

    def of(self, signature: str) -> list[Measurement]:
        """The measurements of one kernel, oldest first."""
        query = sql.select(_MEASUREMENTS).where(_MEASUREMENTS.c.signature == signature)
        return self._select(query.order_by(_MEASUREMENTS.c.at, _MEASUREMENTS.c.id))

    def latest(self, count: int) -> list[Measurement]:
        """The newest measurements of all kernels, oldest first."""
        newest = (_MEASUREMENTS.c.at.desc(), _MEASUREMENTS.c.id.desc())
        return self._select(sql.select(_MEASUREMENTS).order_by(*newest).limit(count))[::-1]

    def summary(self) -> list[tuple[str, str, int, Best | None]]:
        """Signature, label, number of trials and best schedule of every kernel, by label."""
        with self._engine.connect() as connection:
            query = sql.select(_KERNELS.c.signature, _KERNELS.c.label)
            kernels = sorted((label, signature) for signature, label in connection.execute(query))
        rows = []
        for label, signature in kernels:
            measured = self.of(signature)
            rows.append((signature, label, len(measured), best_of(measured)))
        return rows

    def export(self, file: IO[str]) -> int:
        """Write everything as lines of JSON, kernels first; the number of measurements."""
        with self._engine.connect() as connection:
            for row in connection.execute(sql.select(_KERNELS).order_by(_KERNELS.c.signature)).mappings():
                print(json.dumps({"kernel": dict(row)}, sort_keys=True), file=file)
            count = 0
            query = sql.select(_MEASUREMENTS).order_by(_MEASUREMENTS.c.at, _MEASUREMENTS.c.id)
            for row in connection.execute(query).mappings():
                print(json.dumps({"measurement": dict(row)}, sort_keys=True), file=file)
                count += 1
        return count

    def load(self, lines: Iterable[str], name: str = "the file") -> int:
        """Add what `export` wrote; the number of measurements that were new. Raises UserError where a line is
        no such thing; nothing is added then."""
        kernels: list[dict[str, Any]] = []
        measurements: list[dict[str, Any]] = []
        for number, line in enumerate(lines, 1):
            try:
                ((kind, row),) = json.loads(line).items()
                group, table = {
                    "kernel": (kernels, _KERNELS),
                    "measurement": (measurements, _MEASUREMENTS),
                }[kind]
                if set(row) != {column.name for column in table.columns}:
                    raise KeyError(kind)
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise UserError(
                    f"line {number} of {name} is no measurement", hint="import what `export` wrote"
                ) from error
            group.append(row)
        return self._add(kernels, measurements)

    def merge(self, other: "Database") -> int:
        """Add what another database holds; the number of measurements that were new."""
        with other._engine.connect() as connection:
            kernels, measurements = (
                [dict(row) for row in connection.execute(sql.select(table)).mappings()]
                for table in (_KERNELS, _MEASUREMENTS)
            )
        return self._add(kernels, measurements)

    def close(self) -> None:
        """Let go of the connections."""
        self._engine.dispose()

    def _add(self, kernels: Sequence[dict[str, Any]], measurements: Sequence[dict[str, Any]]) -> int:
        with self._engine.begin() as connection:
            _insert_new(connection, _KERNELS, _KERNELS.c.signature, kernels)
            return _insert_new(connection, _MEASUREMENTS, _MEASUREMENTS.c.id, measurements)

    def _select(self, query: Any) -> list[Measurement]:
        with self._engine.connect() as connection:
            return [
                Measurement(
                    row.signature,
                    json.loads(row.point),
                    Outcome(row.status, row.seconds, row.baseline, row.detail, row.machine),
                    json.loads(row.features),
                    row.at,
                )
                for row in connection.execute(query)
            ]


def _insert_new(
    connection: sql.Connection, table: sql.Table, key: Any, rows: Sequence[dict[str, Any]]
) -> int:
    """Insert the rows whose key is not there; how many they were."""
    added = 0
    for start in range(0, len(rows), _ROWS):
        part = {row[key.name]: row for row in rows[start : start + _ROWS]}
        known = set(connection.execute(sql.select(key).where(key.in_(list(part)))).scalars())
        new = [row for name, row in part.items() if name not in known]
        if new:
            connection.execute(sql.insert(table), new)
        added += len(new)
    return added


def default_path() -> Path:
    """Where measurements are kept unless said otherwise: tuning.db in drystone's cache folder."""
    return env.cache_folder() / "tuning.db"


def _row(made: Measurement) -> dict[str, Any]:
    row = {
        "signature": made.signature,
        "point": point_text(made.point),
        **asdict(made.outcome),
        "features": json.dumps(made.features, sort_keys=True),
        "at": made.at,
    }
    # The same measurement has the same id wherever it is copied to: merging twice adds nothing.
    return {"id": hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:32], **row}


def _url(where: str) -> str:
    if "://" in where:
        return where
    path = Path(where).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{path}"
