"""Steps as the proofs of every operation have them: repeated, failing after they acted, undone twice."""

from dataclasses import replace

from cloudctl.kernel.operations import GiveUp, Inside, Step


def twice(step: Step) -> Step:
    """The step as it runs when its worker died after acting and before its outcome was written."""
    if isinstance(step, Inside):
        return step

    def again(run) -> None:
        step.do(run)
        step.do(run)

    again.__name__ = step.name
    return replace(step, do=again)


def failing(step: Step) -> Step:
    """The step acting in full and then giving up, its undo repeated."""

    def do(*arguments) -> None:
        step.do(*arguments)
        raise GiveUp("no-such-thing", step=step.name)

    do.__name__ = step.name
    return replace(step, do=do, undo=undone_twice(step))


def undone_twice(step: Step):
    if step.undo is None or isinstance(step, Inside):
        return step.undo

    def undo(run) -> None:
        step.undo(run)
        step.undo(run)

    return undo
