"""What there is: `drystone targets`, `formats`, `doctor`, `selftest`."""

import inspect
import sys

import click


@click.command("targets")
def targets_command() -> None:
    """The machines drystone compiles for."""
    from drystone import targets

    for name in targets.known():
        click.echo(f"{name:12} {targets.resolve(name).summary}")


@click.command("formats")
def formats_command() -> None:
    """The formats that weights can be held in: bits of a number of a 1024 x 1024 matrix, everything counted,
    and "auto" where `--quantize auto` chooses from it. Those without a number need to be told more."""
    import numpy as np

    from drystone import registry
    from drystone.choosing import CANDIDATES
    from drystone.ir import formats

    registry.load_installed()
    numbers = np.random.default_rng(0).standard_normal((1024, 1024))
    for name, function in formats.TABLE.items():
        told = not formats.needed(function)
        bits = f"{function().settled(numbers).bits(numbers.shape):.2f}" if told else ""
        about = " ".join((inspect.getdoc(function) or "").split())
        click.echo(f"{name:16} {bits:>6} {'auto' if name in CANDIDATES else '':4}  {about}")


@click.command("doctor")
def doctor_command() -> None:
    """What works on this machine and what is missing."""
    from drystone import doctor

    findings = doctor.examine()
    for finding in findings:
        click.echo(f"{'ok     ' if finding.ok else 'MISSING'}  {finding.what:24} {finding.detail}")
    sys.exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)


@click.command("selftest")
@click.option("--target", default="cpu", show_default=True)
@click.pass_obj
def selftest_command(quiet: bool, target: str) -> None:
    """Compile a fixed set of small models, run them and compare with the interpreter."""
    from drystone import selftest

    failed = 0
    for result in selftest.run(target):
        failed += not result.ok
        if not quiet or not result.ok:
            click.echo(str(result))
    sys.exit(1 if failed else 0)
