-- Whoever finds no tables runs this, in one transaction; the lock is for all who do so at the same moment.
SELECT pg_advisory_xact_lock(4711);

-- Whoever changes anything of a user's files locks his row first, so that all of it happens one after the other, and the
-- two sums are what the other tables say, always.
CREATE TABLE IF NOT EXISTS users (
    name text COLLATE "C" PRIMARY KEY,
    quota bigint NOT NULL DEFAULT 1000000000,
    live bigint NOT NULL DEFAULT 0,      -- the sizes of his files
    reserved bigint NOT NULL DEFAULT 0   -- the room of his uploads
);

CREATE TABLE IF NOT EXISTS files (
    id uuid PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    name text NOT NULL,
    version int NOT NULL DEFAULT 0,      -- 0: there is nothing to be seen yet
    size bigint NOT NULL DEFAULT 0,
    sha256 text,
    object uuid,
    lapsed boolean NOT NULL DEFAULT false -- the newest upload came to nothing, so there is none that can be completed
);
CREATE INDEX IF NOT EXISTS files_of_user ON files (owner, id) WHERE version > 0;

-- What was announced and is not complete: one for a file at most.
CREATE TABLE IF NOT EXISTS uploads (
    id uuid PRIMARY KEY,
    file uuid UNIQUE NOT NULL,
    owner text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    sha256 text NOT NULL,
    room bigint NOT NULL,
    expires timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS uploads_by_end ON uploads (owner, expires);

-- What may be in the bucket: written here before anybody can send anything there, and forgotten after it is deleted there, so
-- that there is nothing in the bucket that is not here. Its id is its upload's. It belongs to the upload, then to a file, then to
-- nobody: `dropped` is set once, and never taken back. Whoever has the address can send it until `put_until`, and may be slow, so
-- it is deleted again and again until `forget_at`.
CREATE TABLE IF NOT EXISTS objects (
    id uuid PRIMARY KEY,
    put_until timestamptz NOT NULL,
    dropped timestamptz,
    delete_at timestamptz,
    deleted int NOT NULL DEFAULT 0,
    forget_at timestamptz
);
CREATE INDEX IF NOT EXISTS objects_to_delete ON objects (delete_at) WHERE delete_at IS NOT NULL;

-- Nobody's any more, once the statement that calls this is committed.
CREATE OR REPLACE FUNCTION drop_object(the_object uuid, keep_s float8) RETURNS void LANGUAGE sql AS $$
    UPDATE objects SET dropped = now(), delete_at = now() + keep_s * interval '1 s',
        forget_at = greatest(now() + keep_s * interval '1 s', put_until + interval '300 s')
    WHERE id = the_object AND dropped IS NULL
$$;

-- For these, the user's row is locked already.
CREATE OR REPLACE FUNCTION begin_upload(
    the_upload uuid, the_file uuid, the_owner text, the_size bigint, the_sha256 text, the_room bigint, lasts_s float8
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO objects (id, put_until) VALUES (the_upload, now() + lasts_s * interval '1 s');
    INSERT INTO uploads (id, file, owner, size, sha256, room, expires) VALUES
        (the_upload, the_file, the_owner, the_size, the_sha256, the_room, now() + lasts_s * interval '1 s');
    UPDATE users SET reserved = reserved + the_room WHERE name = the_owner;
END $$;

CREATE OR REPLACE FUNCTION end_upload(the_upload uuid, is_kept boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE ended uploads;
BEGIN
    DELETE FROM uploads WHERE id = the_upload RETURNING * INTO ended;
    UPDATE users SET reserved = reserved - ended.room WHERE name = ended.owner;
    IF NOT is_kept THEN PERFORM drop_object(the_upload, 0); END IF;
END $$;

CREATE OR REPLACE FUNCTION end_overdue(the_owner text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE overdue uploads;
BEGIN
    FOR overdue IN SELECT * FROM uploads WHERE owner = the_owner AND expires < now() FOR UPDATE LOOP
        PERFORM end_upload(overdue.id, false);
        DELETE FROM files WHERE id = overdue.file AND version = 0;
        UPDATE files SET lapsed = true WHERE id = overdue.file;
    END LOOP;
END $$;

-- Room for a new file; asked twice, it is the same file.
CREATE OR REPLACE FUNCTION begin_file(
    the_upload uuid, the_file uuid, the_owner text, the_name text, the_size bigint, the_sha256 text, lasts_s float8
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE u users;
BEGIN
    INSERT INTO users (name) VALUES (the_owner) ON CONFLICT DO NOTHING;
    PERFORM FROM users WHERE name = the_owner FOR UPDATE;
    IF EXISTS (SELECT FROM uploads WHERE id = the_upload) THEN RETURN 'ok'; END IF;
    PERFORM end_overdue(the_owner);
    SELECT * INTO u FROM users WHERE name = the_owner;
    IF u.live + u.reserved + the_size > u.quota THEN RETURN 'full'; END IF;
    INSERT INTO files (id, owner, name) VALUES (the_file, the_owner, the_name);
    PERFORM begin_upload(the_upload, the_file, the_owner, the_size, the_sha256, the_size, lasts_s);
    RETURN 'ok';
END $$;

-- Room for what a replacement is larger; one that is pending makes way.
CREATE OR REPLACE FUNCTION begin_version(
    the_upload uuid, the_file uuid, the_owner text, the_size bigint, the_sha256 text, lasts_s float8
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE u users; f files; pending uploads; wanted bigint; had bigint;
BEGIN
    PERFORM FROM users WHERE name = the_owner FOR UPDATE;
    IF EXISTS (SELECT FROM uploads WHERE id = the_upload) THEN RETURN 'ok'; END IF;
    PERFORM end_overdue(the_owner);
    SELECT * INTO f FROM files WHERE id = the_file AND owner = the_owner AND version > 0;
    IF NOT FOUND THEN RETURN 'none'; END IF;
    SELECT * INTO u FROM users WHERE name = the_owner;
    SELECT * INTO pending FROM uploads WHERE file = the_file FOR UPDATE;
    wanted := greatest(0, the_size - f.size);
    had := coalesce(pending.room, 0);
    IF wanted > had AND u.live + u.reserved - had + wanted > u.quota THEN RETURN 'full'; END IF;
    IF pending.id IS NOT NULL THEN PERFORM end_upload(pending.id, false); END IF;
    PERFORM begin_upload(the_upload, the_file, the_owner, the_size, the_sha256, wanted, lasts_s);
    UPDATE files SET lapsed = false WHERE id = the_file;
    RETURN 'ok';
END $$;

-- An upload of which the store has all bytes becomes the file, if it is still the newest. Whoever was sent to what was there
-- before has time to read it.
CREATE OR REPLACE FUNCTION complete(
    the_file uuid, the_owner text, the_upload uuid, keep_s float8,
    OUT outcome text, OUT version int, OUT size bigint, OUT sha256 text
) LANGUAGE plpgsql AS $$
DECLARE u users; f files; up uploads;
BEGIN
    SELECT * INTO u FROM users WHERE name = the_owner FOR UPDATE;
    SELECT * INTO f FROM files WHERE id = the_file AND owner = the_owner;
    IF NOT FOUND THEN outcome := 'none'; RETURN; END IF;
    IF f.object = the_upload THEN -- somebody was faster
        outcome := 'ok'; version := f.version; size := f.size; sha256 := f.sha256;
        RETURN;
    END IF;
    SELECT * INTO up FROM uploads WHERE file = the_file AND id = the_upload FOR UPDATE;
    IF NOT FOUND THEN outcome := 'changed'; RETURN; END IF;
    IF up.size > f.size AND u.live - f.size + up.size > u.quota THEN outcome := 'full'; RETURN; END IF;
    PERFORM end_upload(up.id, true);
    PERFORM drop_object(f.object, keep_s);
    UPDATE files SET version = f.version + 1, size = up.size, sha256 = up.sha256, object = up.id, lapsed = false
        WHERE id = the_file;
    UPDATE users SET live = live - f.size + up.size WHERE name = the_owner;
    outcome := 'ok'; version := f.version + 1; size := up.size; sha256 := up.sha256;
END $$;

CREATE OR REPLACE FUNCTION remove(the_file uuid, the_owner text, keep_s float8) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE f files;
BEGIN
    PERFORM FROM users WHERE name = the_owner FOR UPDATE;
    SELECT * INTO f FROM files WHERE id = the_file AND owner = the_owner;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM end_upload(up.id, false) FROM uploads up WHERE up.file = the_file;
    PERFORM drop_object(f.object, keep_s);
    UPDATE users SET live = live - f.size WHERE name = the_owner;
    DELETE FROM files WHERE id = the_file;
    RETURN true;
END $$;

-- Those whose time has come, for whoever asks first. Again when the address is of no use any more, and in growing intervals after
-- that, if he does not say that they are gone for good.
CREATE OR REPLACE FUNCTION claim_deletions(most int, OUT object uuid, OUT last boolean) RETURNS SETOF record LANGUAGE sql AS $$
    UPDATE objects SET deleted = deleted + 1,
        delete_at = CASE WHEN now() < put_until + interval '2 s'
            THEN greatest(now() + interval '4 s', put_until + interval '2 s')
            ELSE now() + least(60, 4 * 2 ^ least(deleted, 8)) * interval '1 s' END
    WHERE id IN (
        SELECT id FROM objects WHERE delete_at <= now() ORDER BY delete_at LIMIT most FOR UPDATE SKIP LOCKED
    )
    RETURNING id, forget_at <= now()
$$;

-- What is overdue gives its room back. Users in order of their names, since two sweepers may be at it.
CREATE OR REPLACE FUNCTION sweep_uploads() RETURNS void LANGUAGE plpgsql AS $$
DECLARE the_owner text;
BEGIN
    FOR the_owner IN SELECT DISTINCT owner FROM uploads WHERE expires < now() ORDER BY owner LIMIT 100 LOOP
        PERFORM FROM users WHERE name = the_owner FOR UPDATE;
        PERFORM end_overdue(the_owner);
    END LOOP;
END $$;
