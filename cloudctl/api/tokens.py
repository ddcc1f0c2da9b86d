"""Tokens: the keys to the API."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import Field, StrictInt

from cloudctl.api.calls import CallerDep, SessionDep, SettingsDep, router
from cloudctl.api.views import After, Body, Disclosure, Limit, Page, View, page
from tenancy import tokens

routes = router("/tokens", "tokens")

_SCOPE = "`read`: only looks; `write`: whatever its person may do."


class TokenView(View):
    id: str = Field(description="Id of the token.", examples=["tok_01k9xr3w8q7f5t2n6m4v0c1b8d"])
    user_id: str = Field(description="Id of the person it makes its bearer.", examples=["usr_01k9xr3w8q7f5t2n6m4v"])
    name: str = Field(description="What it is for.", examples=["laptop"])
    scope: str = Field(description=_SCOPE, examples=["write"])
    expires_at: datetime = Field(description="When it stops working.", examples=["2026-12-31T00:00:00Z"])
    last_used_at: datetime | None = Field(description="When it was last used, to the minute.")
    locked_until: datetime | None = Field(description="Until when it is locked after wrong secrets.")
    revoked_at: datetime | None = Field(description="When it was made worthless.")


class NewToken(Body):
    name: str = Field(description="What it is for, at most 100 characters.", examples=["laptop"])
    scope: Literal["read", "write"] = Field("write", description=_SCOPE, examples=["read"])
    days: StrictInt | None = Field(
        None, description="Days until it expires; null takes the usual number.", examples=[30]
    )


class IssuedToken(TokenView, Disclosure):
    once: ClassVar = ("secret",)

    secret: str | None = Field(description="What to show as bearer; told this once.", examples=["cct_01k9xr3w8q7f_…"])


@routes.get("")
def list_tokens(caller: CallerDep, session: SessionDep, after: After = None, limit: Limit = 50) -> Page[TokenView]:
    """One's own tokens, newest first; everybody's for the security administrator."""
    found = tokens.listed(session, caller, after=after, limit=limit + 1)
    return page(found, limit, TokenView.model_validate, lambda row: row.id)


@routes.post("", status_code=201)
def create_token(new: NewToken, caller: CallerDep, session: SessionDep, settings: SettingsDep) -> IssuedToken:
    """Make a token of one's own; its secret is in this answer and nowhere else."""
    made, secret = tokens.create(session, caller, settings, name=new.name, scope=new.scope, days=new.days)
    return IssuedToken(**TokenView.model_validate(made).model_dump(), secret=secret)


@routes.delete("/{token}")
def revoke_token(token: str, caller: CallerDep, session: SessionDep) -> None:
    """Make a token worthless at once: one's own, or anybody's as the security administrator."""
    tokens.revoke(session, caller, token)
