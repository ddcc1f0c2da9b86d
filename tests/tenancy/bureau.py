"""A bureau below a county below a prefecture, with its people: the world in which requests are tested.

What an approval starts is the roof's to say; here it comes about at once, so that only this room is looked at.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from cloudctl.kernel import clock, events
from cloudctl.kernel.parsing import parsed
from cloudctl.kernel.settings import Settings
from tenancy import (
    applications,
    approvals,
    decisions,
    departments,
    evidence,
    kinds,
    ledger,
    members,
    projects,
    rules,
    submissions,
    tenancies,
)
from tenancy.applications import Application
from tenancy.callers import SYSTEM, Caller
from tenancy.models import ApprovalStep, Department, Item, Request, Tenancy

LIMITS = {"vcpu": 200, "memory_gib": 400, "storage_gib.ssd": 10_000}


class Bureau:
    """Verbs in the words of the tests, on one session; nothing is committed."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.rules = rules.read(settings)
        self.fits: bool | None = True
        self.breaks: Exception | None = None
        self._register()
        self.prefecture = self._department("522300", "黔西南州")
        self.county = self._department("522301", "兴义市", self.prefecture)
        self.bureau = self._department("522301-jyj", "教育局", self.county)
        self.clerk = self.person("clerk", "clerk", self.bureau)
        self.head = self.person("head", "approver", self.bureau)
        self.parent = self.person("parent", "approver", self.county)
        self.authority = self.person("authority", "approver", self.prefecture)
        self.operator = Caller(id="usr_operator", name="operator", platform_role="operator")
        self.project = projects.create(
            session, SYSTEM, self.bureau.id, name="查分", name_en="Scores", owner="王", funding="财政", level=2
        )

    def person(self, login: str, role: str, department: Department) -> Caller:
        user = members.create(self.session, SYSTEM, login=login, name=login)
        members.grant_membership(self.session, SYSTEM, user.id, department.id, role)
        return Caller(id=user.id, name=login, memberships=frozenset({(department.id, role)}))

    def application(self, *items: Mapping[str, Any], **other: Any) -> Application:
        usual = {"department": self.bureau.code, "project": self.project.code, "purpose": "高考查分"}
        return parsed(Application, {**usual, "items": list(items), **other})

    def submit(self, *items: Mapping[str, Any], by: Caller | None = None, **other: Any) -> Request:
        application = self.application(*items, **other)
        return submissions.submit(self.session, by or self.clerk, self.rules, application).request

    def preview(self, *items: Mapping[str, Any], **other: Any) -> list[submissions.Preview]:
        return submissions.preview(self.session, self.clerk, self.rules, self.application(*items, **other))

    def digest(self, request: Request) -> str:
        return str(approvals.shown(self.session, self.rules, request)["digest"])

    def accept(self, request: Request, missing: tuple[str, ...] = ()) -> Request:
        return decisions.accept(
            self.session, self.authority, self.rules, request.id, self.digest(request), missing=missing
        )

    def approve(self, request: Request, by: Caller, **other: Any) -> Request:
        return decisions.approve(self.session, by, self.rules, request.id, self.digest(request), **other)

    def approve_all(self, request: Request) -> Request:
        """Every step, each by the first of those who may."""
        people = {person.id: person for person in (self.head, self.parent, self.authority)}
        while step := self.open(request):
            by = people[approvals.acting(self.session, request, step)[0].id]
            if step.name == approvals.ACCEPT:
                decisions.accept(self.session, by, self.rules, request.id, self.digest(request))
            else:
                self.approve(request, by)
        return request

    def tenancy(self, name: str = "web", **size: int) -> Tenancy:
        """An active tenancy of that size, asked for and approved."""
        request = self.approve_all(self.submit(create(name, **size)))
        return tenancies.get(self.session, request.items[0].subject or "")

    def uses(self, tenancy: Tenancy, measured_ago: timedelta = timedelta(), **use: float) -> None:
        """Evidence of what the tenancy uses."""
        at = clock.now() - measured_ago
        evidence.record(self.session, "usage", tenancy.id, use, "test", at, at + self.rules.settings.evidence_age)

    def open(self, request: Request) -> ApprovalStep | None:
        return approvals.open_step(request)

    def account(self, resource: str = "vcpu", department: Department | None = None) -> ledger.Balance:
        owner = (department or self.bureau).id
        return ledger.balances(self.session, [owner])[owner][resource]

    def happened(self, subject: str) -> list[str]:
        return [event.slug for event in events.after(self.session, [subject])]

    def _department(self, code: str, name: str, above: Department | None = None) -> Department:
        made = departments.create(
            self.session, SYSTEM, code=code, name=name, name_en=code, parent=above.id if above else None
        )
        for resource, limit in LIMITS.items():
            ledger.set_limit(self.session, made.id, resource, limit)
        return made

    def _register(self) -> None:
        kinds.register(
            applications.PROJECT,
            applications.QUOTA,
            applications.EXTEND,
            replace(applications.CREATE, start=self._create, fits=lambda session, item: self.fits),
            replace(applications.RESIZE, start=_resize),
            replace(applications.RETURN, start=_return),
        )

    def _create(self, session: Session, rules: rules.Rules, item: Item) -> None:
        if self.breaks:
            raise self.breaks
        spec = applications.CreateSpec.model_validate(item.spec)
        terms = {"term_days": spec.term_days, "protected": spec.protected}
        place = {"architectures": spec.architectures, "zone": spec.zone, "level": spec.level or self.project.level}
        ordered = tenancies.Ordered(
            id=item.subject or "", name=spec.name, size=spec.size, keys=spec.keys, **place, **terms
        )
        tenancy = tenancies.create(session, self.project, ordered)
        tenancies.advance(session, tenancy, "place", SYSTEM)
        tenancies.advance(session, tenancy, "succeed", SYSTEM)
        tenancies.activated(tenancy, timedelta(days=spec.term_days))
        ledger.commit(session, item.id, into=tenancy.id)


def _resize(session: Session, rules: rules.Rules, item: Item) -> None:
    tenancy = tenancies.get(session, item.subject or "", lock=True)
    size = applications.new_size(tenancy, item.spec["size"])
    smaller = {each: had - size[each] for each, had in tenancy.size.items() if size[each] < had}
    ledger.commit(session, item.id, into=tenancy.id)
    if smaller:
        ledger.shrink(session, tenancy.id, "quota", smaller)
    tenancy.size = size
    if item.automatic is None:
        tenancy.approved_size = size


def _return(session: Session, rules: rules.Rules, item: Item) -> None:
    tenancy = tenancies.get(session, item.subject or "", lock=True)
    tenancies.advance(session, tenancy, "end", SYSTEM)
    ledger.release(session, tenancy.id)


def create(name: str = "web", **size: int) -> dict[str, Any]:
    return {"kind": "create", "name": name, "size": size or {"vcpu": 4, "memory_gib": 8}}


def resize(tenancy: Tenancy, **size: int) -> dict[str, Any]:
    return {"kind": "resize", "tenancy": tenancy.id, "size": size}
