"""The books: every balance computed again, from the entries and from the claims, and each difference named."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Difference:
    """One figure of one account that is not what its history says. `entries` and `claims` are the figures it should be.

    No claim speaks of a limit: there `claims` is None.
    """

    owner: str
    resource: str
    figure: str  # limit, held or used
    account: int
    entries: int
    claims: int | None


_RECOMPUTED = text("""
    WITH entered AS (
        SELECT account_id, sum(limit_change) AS "limit", sum(held_change) AS held, sum(used_change) AS used
        FROM ledger_entries GROUP BY account_id
    ), claimed AS (
        SELECT account_id, sum(amount) FILTER (WHERE state = 'held') AS held,
               sum(amount) FILTER (WHERE state = 'committed') AS used
        FROM claim_lines LEFT JOIN claims ON id = claim_id GROUP BY account_id
    )
    SELECT coalesce(owner, 'account ' || coalesce(e.account_id, c.account_id)), coalesce(resource, ''), figure,
           account::bigint, entries::bigint, claims::bigint
    FROM accounts a
         FULL JOIN entered e ON e.account_id = a.id
         FULL JOIN claimed c ON c.account_id = coalesce(a.id, e.account_id)
         CROSS JOIN LATERAL (VALUES
             ('limit', coalesce(a."limit", 0), coalesce(e."limit", 0), NULL),
             ('held', coalesce(a.held, 0), coalesce(e.held, 0), coalesce(c.held, 0)),
             ('used', coalesce(a.used, 0), coalesce(e.used, 0), coalesce(c.used, 0))
         ) AS line(figure, account, entries, claims)
    WHERE account <> entries OR account <> claims
    ORDER BY a.rank, 1, 2, 3
""")


def differences(session: Session) -> list[Difference]:
    """Every figure of every account that differs from its entries or its open claims; none when the books are right."""
    return [Difference(*row) for row in session.execute(_RECOMPUTED)]
