-- What became of notifications. A row comes with the first who has something to say of it: the worker that sends it, or the
-- caller who takes it back. Until then it waits in its queue, and that is known by its id alone.
CREATE TABLE IF NOT EXISTS notifications (
    id text PRIMARY KEY,
    state text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    fingerprint text
);

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

-- The state in which a worker has it in hand: `queued` where it is to be sent, and counted as an attempt.
CREATE OR REPLACE FUNCTION take(which text, print text, whose text, how text)
RETURNS TABLE (state text, attempts int) LANGUAGE sql AS $$
    INSERT INTO notifications AS n (id, state, attempts, fingerprint)
    SELECT which, CASE WHEN opted_out(whose, how) THEN 'suppressed' ELSE 'queued' END, 1, print
    ON CONFLICT (id) DO UPDATE SET attempts = n.attempts + CASE WHEN n.state = 'queued' THEN 1 ELSE 0 END,
      state = CASE WHEN n.state = 'queued' AND opted_out(whose, how) THEN 'suppressed' ELSE n.state END
    RETURNING n.state, n.attempts
$$;

-- What is known before it is accepted: its state and fingerprint where it came before, and whether it is not wanted.
CREATE OR REPLACE FUNCTION look(which text, print text, whose text, how text)
RETURNS TABLE (state text, fingerprint text) LANGUAGE sql AS $$
    WITH kept AS (
        INSERT INTO notifications (id, state, fingerprint)
        SELECT which, 'suppressed', print WHERE opted_out(whose, how)
        ON CONFLICT DO NOTHING RETURNING state, fingerprint
    )
    SELECT * FROM kept UNION ALL SELECT n.state, n.fingerprint FROM notifications n WHERE id = which LIMIT 1
$$;
