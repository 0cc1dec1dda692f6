"""Every pass on small modules: the text after it, and the same results from the interpreter."""

import pytest

from tests.passes import pass_cases as cases

CASES = [(name, *case) for name in cases.PASSES for case in cases.cases(name)]


@pytest.mark.parametrize(
    ("name", "title", "before", "after"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_pass(name: str, title: str, before: str, after: str) -> None:
    wanted = cases.outputs_of(cases.program_of(before))
    program, text = cases.after(name, before)
    assert text == after, f"{name}: {title}; run tests/passes/pass_cases.py to accept"
    cases.check_same(wanted, cases.outputs_of(program), cases.TOLERANCE.get(name, 2e-5))


@pytest.mark.parametrize("name", cases.PASSES)
def test_running_a_pass_again_changes_nothing(name: str) -> None:
    once = (
        "outline-kernels",
        "patch",
        "quantize",
        "sparsify",
        "shrink",
        "skip",
        "encode-caches",
        "to-integers",
    )
    if name.startswith(once):
        pytest.skip(
            "kernels are not outlined again, spans count the operations of the program before, a pattern "
            "must match something, and thresholds stand before every other one"
        )
    for title, _, after in cases.cases(name):
        program = cases.program_of(after)
        cases.run(program, (cases.PASSES[name],))
        assert cases.mlir.text(program.module).strip() + "\n" == after, title
