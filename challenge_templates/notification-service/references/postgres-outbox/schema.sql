CREATE TABLE IF NOT EXISTS notifications (
    id uuid PRIMARY KEY,
    key text UNIQUE NOT NULL,
    fingerprint text NOT NULL,
    recipient text NOT NULL,
    channel text NOT NULL,
    body text NOT NULL,
    high boolean NOT NULL,
    state text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL,
    lease uuid,
    leased_until timestamptz
);
-- The outbox is this index: what is waiting, in the order in which it is to be sent.
CREATE INDEX IF NOT EXISTS waiting ON notifications (channel, high DESC, due) WHERE state = 'queued';

CREATE TABLE IF NOT EXISTS preferences (
    recipient text PRIMARY KEY,
    email boolean NOT NULL DEFAULT true,
    sms boolean NOT NULL DEFAULT true,
    push boolean NOT NULL DEFAULT true
);

CREATE OR REPLACE FUNCTION opted_out(whose text, how text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT NOT CASE how WHEN 'email' THEN email WHEN 'sms' THEN sms ELSE push END
                     FROM preferences WHERE recipient = whose), false)
$$;
