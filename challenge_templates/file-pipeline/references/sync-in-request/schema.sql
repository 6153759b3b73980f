-- Whoever finds no tables runs this and events.sql, in one transaction; the lock is for all who do so at the same time.
SELECT pg_advisory_xact_lock(4711);

-- A job is a file that was dealt with. What is left of one that was taken back is its key, so that it does not come
-- again.
CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY,
    key text COLLATE "C" UNIQUE NOT NULL,
    callback text NOT NULL,
    sha256 text NOT NULL,
    state text NOT NULL DEFAULT 'done',
    result text                          -- JSON, as it is answered: a category may be what `jsonb` cannot hold
);

-- The job of this key, which is this one if there was none. What is to be told of it is written down with it.
CREATE OR REPLACE FUNCTION add_job(the_job uuid, the_key text, the_callback text, the_sha256 text, the_result text)
RETURNS TABLE (id uuid, callback text, sha256 text, state text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO jobs AS j (id, key, callback, sha256, result)
        VALUES (the_job, the_key, the_callback, the_sha256, the_result) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        INSERT INTO events (job, callback, state) VALUES (the_job, the_callback, 'done');
    END IF;
    RETURN QUERY SELECT j.id, j.callback, j.sha256, j.state FROM jobs j WHERE j.key = the_key;
END $$;

-- `later`: somebody may be beginning to tell of it (events.sql). Asked twice, it is the same.
CREATE OR REPLACE FUNCTION cancel_job(the_job uuid, begins_s float8) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobs WHERE id = the_job FOR UPDATE;
    IF NOT FOUND THEN RETURN 'none'; END IF;
    IF NOT hush(the_job, begins_s) THEN RETURN 'later'; END IF;
    UPDATE jobs SET state = 'cancelled', result = NULL WHERE id = the_job;
    RETURN 'cancelled';
END $$;
