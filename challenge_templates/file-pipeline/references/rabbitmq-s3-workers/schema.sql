-- Whoever finds no tables runs this and events.sql, in one transaction; the lock is for all who do so at the same time.
SELECT pg_advisory_xact_lock(4711);

-- What may be in the bucket: the parts of a file, of which so many have been begun. It is written here before anything
-- is sent there, and forgotten after it is deleted there, so that there is nothing in the bucket that is not here.
-- While it is coming, whoever takes it in says again and again that he lives; then it is a job's; and in the end it is
-- nobody's, and to be deleted. A part may still be on its way when nobody waits for it any more, so new ones are
-- deleted twice.
CREATE TABLE IF NOT EXISTS files (
    id uuid PRIMARY KEY,
    begun int NOT NULL DEFAULT 1,
    begun_at timestamptz NOT NULL DEFAULT now(), -- the last of them
    alive_until timestamptz,             -- while it is coming
    delete_at timestamptz                -- when it is nobody's
);
CREATE INDEX IF NOT EXISTS files_coming ON files (alive_until) WHERE alive_until IS NOT NULL;
CREATE INDEX IF NOT EXISTS files_to_delete ON files (delete_at) WHERE delete_at IS NOT NULL;

-- A job is a file that has come, under the same id. What is left of one that was taken back is its key, so that it does
-- not come again. Whoever works on it has a claim and a lease; when another one claims it, the first has lost it. There
-- is a ticket for it in RabbitMQ, or somebody has claimed it, or it is to be announced: a ticket counts until the next
-- claim.
CREATE TABLE IF NOT EXISTS jobs (
    id uuid PRIMARY KEY,
    key text COLLATE "C" UNIQUE NOT NULL,
    callback text NOT NULL,
    sha256 text NOT NULL,
    parts int[] NOT NULL,                -- their sizes
    state text NOT NULL DEFAULT 'queued',
    progress float8 NOT NULL DEFAULT 0,
    error text,
    result text,                         -- JSON, as it is answered: a category may be what `jsonb` cannot hold
    attempts int NOT NULL DEFAULT 0,     -- those that may have ended somebody, the running one included
    claim uuid,
    claims int NOT NULL DEFAULT 0,       -- ever
    leased_until timestamptz NOT NULL DEFAULT now(),
    announce_at timestamptz NOT NULL DEFAULT now() + interval '3 s', -- whoever has made it does so at once
    made timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS jobs_to_do ON jobs (made) WHERE state IN ('queued', 'processing');

-- The job of this key, if there is one; if there is none, the file may come.
CREATE OR REPLACE FUNCTION begin_file(the_file uuid, the_key text, alive_s float8)
RETURNS TABLE (id uuid, callback text, sha256 text, state text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT j.id, j.callback, j.sha256, j.state FROM jobs j WHERE j.key = the_key;
    IF NOT FOUND THEN
        INSERT INTO files AS f (id, alive_until) VALUES (the_file, now() + alive_s * interval '1 s')
            ON CONFLICT DO NOTHING;
    END IF;
END $$;

-- Nobody's any more, once the statement that calls this is committed.
CREATE OR REPLACE FUNCTION drop_file(the_file uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE files SET delete_at = now(), alive_until = NULL WHERE id = the_file AND delete_at IS NULL
$$;

-- All of it is in the bucket. It is the job of this key now, unless somebody was faster; nothing comes of it if it is
-- not there any more, because nobody said for too long that it was still coming.
CREATE OR REPLACE FUNCTION add_job(the_file uuid, the_key text, the_callback text, the_sha256 text, the_parts int[])
RETURNS TABLE (id uuid, callback text, sha256 text, state text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM files f WHERE f.id = the_file AND f.delete_at IS NULL FOR UPDATE;
    IF FOUND THEN
        INSERT INTO jobs AS j (id, key, callback, sha256, parts)
            VALUES (the_file, the_key, the_callback, the_sha256, the_parts) ON CONFLICT DO NOTHING;
        IF EXISTS (SELECT FROM jobs j WHERE j.id = the_file) THEN
            UPDATE files f SET alive_until = NULL WHERE f.id = the_file;
        ELSE
            PERFORM drop_file(the_file);
        END IF;
    END IF;
    RETURN QUERY SELECT j.id, j.callback, j.sha256, j.state FROM jobs j WHERE j.key = the_key;
END $$;

-- A job has come to an end, and what is to be told of it is written down with that. Its file is not needed any more.
CREATE OR REPLACE FUNCTION end_job(the_job uuid, the_error text, the_result text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE the_state text := CASE WHEN the_error IS NULL THEN 'done' ELSE 'failed' END;
BEGIN
    UPDATE jobs SET state = the_state, error = the_error, result = the_result,
        progress = CASE WHEN the_error IS NULL THEN 1 ELSE progress END
    WHERE id = the_job;
    INSERT INTO events (job, callback, state) SELECT id, callback, the_state FROM jobs WHERE id = the_job;
    PERFORM drop_file(the_job);
END $$;

-- The job of a ticket, if it is still to be done, and nobody has it. An attempt is counted when it begins: whoever is
-- killed by a file cannot say so. What has taken too many with it is ended here.
CREATE OR REPLACE FUNCTION claim_job(the_job uuid, the_claim uuid, lease_s float8, most int)
RETURNS TABLE (id uuid, sha256 text, parts int[], attempts int) LANGUAGE plpgsql AS $$
DECLARE job jobs;
BEGIN
    SELECT * INTO job FROM jobs j
        WHERE j.id = the_job AND j.state IN ('queued', 'processing')
            AND (j.leased_until <= now() OR j.claim = the_claim)
        FOR UPDATE;
    IF job.attempts >= most AND job.claim IS DISTINCT FROM the_claim THEN
        PERFORM end_job(job.id, 'whoever worked on it did not come back, ' || most || ' times', NULL);
        RETURN;
    END IF;
    RETURN QUERY
        UPDATE jobs j SET state = 'processing', claim = the_claim, leased_until = now() + lease_s * interval '1 s',
            attempts = job.attempts + CASE WHEN job.claim = the_claim THEN 0 ELSE 1 END,
            claims = job.claims + 1, announce_at = now()
        WHERE j.id = job.id
        RETURNING j.id, j.sha256, j.parts, j.attempts;
END $$;

-- Those that have no ticket, and that nobody has, for whoever asks first. If he does not say that they have one now,
-- they come again.
CREATE OR REPLACE FUNCTION claim_announcements(most int) RETURNS TABLE (id uuid, claims int) LANGUAGE sql AS $$
    UPDATE jobs j SET announce_at = now() + interval '5 s' WHERE j.id IN (
        SELECT d.id FROM jobs d
        WHERE d.state IN ('queued', 'processing') AND d.announce_at <= now() AND d.leased_until <= now()
        ORDER BY d.made LIMIT most FOR UPDATE SKIP LOCKED
    )
    RETURNING j.id, j.claims
$$;

-- There is a ticket for it, unless somebody has claimed it since. Should one be lost, there is another one in the end.
CREATE OR REPLACE FUNCTION announced(the_job uuid, the_claims int) RETURNS void LANGUAGE sql AS $$
    UPDATE jobs SET announce_at = now() + interval '10 minutes' WHERE id = the_job AND claims = the_claims
$$;

-- Whether it is over, and this claim is not in somebody else's way. Asked twice, it is the same.
CREATE OR REPLACE FUNCTION finish_job(the_job uuid, the_claim uuid, the_error text, the_result text) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE job jobs;
BEGIN
    SELECT * INTO job FROM jobs WHERE id = the_job AND claim = the_claim FOR UPDATE;
    IF job.state = 'processing' THEN PERFORM end_job(the_job, the_error, the_result); END IF;
    RETURN job.id IS NOT NULL;
END $$;

-- Somebody else may go on with it, after a moment. What is no attempt is not counted. Asked twice, it is the same.
CREATE OR REPLACE FUNCTION release_job(the_job uuid, the_claim uuid, pause_s float8, counts boolean) RETURNS void
LANGUAGE sql AS $$
    UPDATE jobs SET claim = NULL, leased_until = now() + pause_s * interval '1 s', announce_at = now(),
        attempts = attempts - CASE WHEN counts THEN 0 ELSE 1 END
    WHERE id = the_job AND claim = the_claim AND state = 'processing'
$$;

-- `later`: somebody may be beginning to tell of it (events.sql). Asked twice, it is the same.
CREATE OR REPLACE FUNCTION cancel_job(the_job uuid, begins_s float8) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobs WHERE id = the_job FOR UPDATE;
    IF NOT FOUND THEN RETURN 'none'; END IF;
    IF NOT hush(the_job, begins_s) THEN RETURN 'later'; END IF;
    UPDATE jobs SET state = 'cancelled', claim = NULL, error = NULL, result = NULL WHERE id = the_job;
    PERFORM drop_file(the_job);
    RETURN 'cancelled';
END $$;

-- The files that are to be deleted, for whoever asks first, and how many parts of them have been begun. If he does not
-- say that they are gone, they come again.
CREATE OR REPLACE FUNCTION claim_deletions(most int) RETURNS TABLE (id uuid, begun int) LANGUAGE sql AS $$
    UPDATE files f SET delete_at = now() + interval '5 s' WHERE f.id IN (
        SELECT d.id FROM files d WHERE d.delete_at <= now() ORDER BY d.delete_at LIMIT most FOR UPDATE SKIP LOCKED
    )
    RETURNING f.id, f.begun
$$;

-- Their parts are gone. What was on its way then has arrived half a minute after it was begun.
CREATE OR REPLACE FUNCTION forget_files(the_files uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM files WHERE id = ANY(the_files) AND begun_at < now() - interval '10 s';
    UPDATE files SET delete_at = begun_at + interval '11 s' WHERE id = ANY(the_files);
$$;
