-- One event, numbered within its subject. Writers of one subject take turns until they commit, so that its numbers
-- have no gap and appear in order; who listens is woken when the transaction commits.
CREATE OR REPLACE FUNCTION record_event(
    channel text, of_subject text, slug text, figures jsonb, actor text, at timestamptz
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(of_subject, 7)), pg_notify(channel, of_subject);
    INSERT INTO events (subject, sequence, slug, figures, actor, at)
    SELECT of_subject, coalesce(max(e.sequence), 0) + 1, record_event.slug, record_event.figures, record_event.actor,
           record_event.at
    FROM events e WHERE e.subject = of_subject;
END $$;
