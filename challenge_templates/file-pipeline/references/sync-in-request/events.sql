-- What is still to be told: that a job has ended. It is written by the statement that ends the job, and goes when it
-- has been heard. Whoever has claimed it has it until it is due again.
CREATE TABLE IF NOT EXISTS events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job uuid UNIQUE NOT NULL,
    callback text NOT NULL,
    state text NOT NULL,
    made timestamptz NOT NULL DEFAULT now(),
    due timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    claim uuid,
    claimed timestamptz
);
CREATE INDEX IF NOT EXISTS events_due ON events (due);

-- Those whose time has come, for whoever asks first; they are due again when he should be through with them. What
-- nobody has heard for a day is given up.
CREATE OR REPLACE FUNCTION claim_events(the_claim uuid, most int, lasts_s float8)
RETURNS TABLE (id uuid, job uuid, callback text, state text, attempts int) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM events e WHERE e.due <= now() AND e.made < now() - interval '1 day';
    RETURN QUERY
        UPDATE events e SET claim = the_claim, claimed = now(), due = now() + lasts_s * interval '1 s',
            attempts = e.attempts + 1
        WHERE e.id IN (SELECT d.id FROM events d WHERE d.due <= now() ORDER BY d.due LIMIT most FOR UPDATE SKIP LOCKED)
        RETURNING e.id, e.job, e.callback, e.state, e.attempts;
END $$;

-- Whether nobody begins to tell anything of this job any more. Who has claimed its event may still begin, for so long:
-- then no, and nobody else claims it until this is asked again.
CREATE OR REPLACE FUNCTION hush(the_job uuid, begins_s float8) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE event events;
BEGIN
    SELECT * INTO event FROM events WHERE job = the_job FOR UPDATE;
    IF event.claimed > now() - begins_s * interval '1 s' THEN
        UPDATE events SET due = greatest(due, now() + interval '3 s') WHERE job = the_job;
        RETURN false;
    END IF;
    DELETE FROM events WHERE job = the_job;
    RETURN true;
END $$;
