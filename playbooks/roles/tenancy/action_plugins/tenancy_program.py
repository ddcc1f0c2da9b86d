"""Runs one of the role's programs on the server, in one go: it is fed to the server's own Python over standard input.

A module of Ansible's kind brings its whole library along and costs most of a second, many on an emulated or slow
server; a plain program costs a tenth of that and may be split into files that several programs share.
"""

import json
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

PROGRAMS = Path(__file__).parent.parent / "programs"
START = """
import json, sys, types
for name, source in {sources!r}:
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["ground"].answer(sys.modules[{program!r}].run, json.loads({order!r}))
"""


def assembled(program, order):
    """The text of a program with all that it imports of ours and what it is told to do."""
    sources = [(name, (PROGRAMS / f"{name}.py").read_text(encoding="utf-8")) for name in ("ground", "images", program)]
    return START.format(sources=sources, program=program, order=json.dumps(order))


class ActionModule(ActionBase):
    """The task: `program` is one of the role's, `order` what it is told."""

    _requires_connection = True
    _VALID_ARGS = frozenset(("program", "order"))

    def run(self, tmp=None, task_vars=None):
        """Returns what the program answered."""
        answer = super().run(tmp, task_vars)
        program, order = self._task.args["program"], dict(self._task.args["order"])
        order["check"] = self._task.check_mode
        python = self._templar.template((task_vars or {}).get("ansible_python_interpreter", "/usr/bin/python3"))
        text = assembled(program, order).encode()
        done = self._low_level_execute_command(f"{python} -I -", in_data=text, sudoable=True)
        try:
            answer.update(json.loads(done["stdout"].strip().splitlines()[-1]))
        except (IndexError, ValueError):
            said = (done["stderr"] or done["stdout"]).strip()
            raise AnsibleActionFail(f"{program} ended with {done['rc']}: {said[-500:]}") from None
        return answer
