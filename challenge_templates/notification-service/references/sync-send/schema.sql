CREATE TABLE IF NOT EXISTS notifications (
    id uuid PRIMARY KEY,
    key text UNIQUE NOT NULL,
    fingerprint text NOT NULL,
    recipient text NOT NULL,
    channel text NOT NULL,
    body text NOT NULL,
    state text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    due timestamptz NOT NULL
);
-- Those that were asked for later; everything else is sent while its caller waits.
CREATE INDEX IF NOT EXISTS later ON notifications (due) WHERE state = 'later';

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
