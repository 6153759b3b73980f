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
    blob uuid,
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
    expires timestamptz NOT NULL,
    blob uuid                            -- the bytes, once all of them are here and are the right ones
);
CREATE INDEX IF NOT EXISTS uploads_by_end ON uploads (owner, expires);

-- Bytes, each time that somebody sends some. They belong to an upload, then to a file, then to nobody: `drop_at` is set once,
-- and never taken back.
CREATE TABLE IF NOT EXISTS blobs (
    id uuid PRIMARY KEY,
    upload uuid,
    dropped timestamptz,
    drop_at timestamptz
);
CREATE INDEX IF NOT EXISTS blobs_of_upload ON blobs (upload) WHERE upload IS NOT NULL;
CREATE INDEX IF NOT EXISTS blobs_to_drop ON blobs (drop_at) WHERE drop_at IS NOT NULL;

-- No row without its blob, whoever is killed when.
CREATE TABLE IF NOT EXISTS chunks (
    blob uuid NOT NULL REFERENCES blobs ON DELETE CASCADE,
    n int NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (blob, n)
);
ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL; -- not compressed, so that a part can be read without the rest

-- For these, the user's row is locked already.
CREATE OR REPLACE FUNCTION end_upload(the_upload uuid, chosen uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE ended uploads;
BEGIN
    DELETE FROM uploads WHERE id = the_upload RETURNING * INTO ended;
    UPDATE users SET reserved = reserved - ended.room WHERE name = ended.owner;
    UPDATE blobs SET upload = NULL WHERE id = chosen;
    UPDATE blobs SET upload = NULL, dropped = now(), drop_at = now()
        WHERE upload = the_upload AND id IS DISTINCT FROM chosen;
END $$;

CREATE OR REPLACE FUNCTION end_overdue(the_owner text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE overdue uploads;
BEGIN
    FOR overdue IN SELECT * FROM uploads WHERE owner = the_owner AND expires < now() FOR UPDATE LOOP
        PERFORM end_upload(overdue.id, NULL);
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
    INSERT INTO uploads (id, file, owner, size, sha256, room, expires) VALUES
        (the_upload, the_file, the_owner, the_size, the_sha256, the_size, now() + lasts_s * interval '1 s');
    UPDATE users SET reserved = reserved + the_size WHERE name = the_owner;
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
    IF pending.id IS NOT NULL THEN PERFORM end_upload(pending.id, NULL); END IF;
    INSERT INTO uploads (id, file, owner, size, sha256, room, expires) VALUES
        (the_upload, the_file, the_owner, the_size, the_sha256, wanted, now() + lasts_s * interval '1 s');
    UPDATE users SET reserved = reserved + wanted WHERE name = the_owner;
    UPDATE files SET lapsed = false WHERE id = the_file;
    RETURN 'ok';
END $$;

-- A blob for the bytes that are about to come; none if nobody waits for them. It need not be on the disk yet: `seal` is, and
-- what came before it with it.
CREATE OR REPLACE FUNCTION open_blob(
    the_upload uuid, the_owner text, the_blob uuid, OUT size bigint, OUT sha256 text, OUT left_s float8
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE up uploads;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT * INTO up FROM uploads WHERE id = the_upload AND owner = the_owner FOR NO KEY UPDATE;
    IF FOUND THEN
        INSERT INTO blobs (id, upload) VALUES (the_blob, the_upload) ON CONFLICT DO NOTHING;
        size := up.size; sha256 := up.sha256; left_s := extract(epoch FROM up.expires - now());
        RETURN NEXT;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION add_chunk(the_upload uuid, the_blob uuid, the_n int, the_data bytea)
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM FROM blobs WHERE id = the_blob AND upload = the_upload FOR KEY SHARE;
    IF NOT FOUND THEN RETURN CASE WHEN EXISTS (SELECT FROM uploads WHERE id = the_upload) THEN 'lost' ELSE 'gone' END; END IF;
    INSERT INTO chunks VALUES (the_blob, the_n, the_data) ON CONFLICT DO NOTHING;
    RETURN 'ok';
END $$;

-- The last chunk, and with it the blob is what its upload has to show. What a crash of PostgreSQL took is missed here.
CREATE OR REPLACE FUNCTION seal(the_upload uuid, the_blob uuid, the_n int, the_data bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE up uploads;
BEGIN
    SELECT * INTO up FROM uploads WHERE id = the_upload FOR UPDATE;
    IF NOT FOUND THEN RETURN 'gone'; END IF;
    IF up.blob = the_blob THEN RETURN 'ok'; END IF;
    PERFORM FROM blobs WHERE id = the_blob AND upload = the_upload FOR KEY SHARE;
    IF NOT FOUND THEN RETURN 'lost'; END IF;
    INSERT INTO chunks VALUES (the_blob, the_n, the_data) ON CONFLICT DO NOTHING;
    IF (SELECT sum(octet_length(data)) FROM chunks WHERE blob = the_blob) IS DISTINCT FROM up.size THEN
        RETURN 'lost';
    END IF;
    UPDATE blobs SET upload = NULL, dropped = now(), drop_at = now() WHERE id = up.blob;
    UPDATE uploads SET blob = the_blob WHERE id = the_upload;
    RETURN 'ok';
END $$;

-- Whoever sent these has given up, or they were the wrong ones. The upload is locked first: it may be that they were sealed, and
-- only the answer was lost.
CREATE OR REPLACE FUNCTION abandon(the_upload uuid, the_blob uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM uploads WHERE id = the_upload FOR UPDATE;
    UPDATE blobs SET upload = NULL, dropped = now(), drop_at = now() WHERE id = the_blob AND upload = the_upload
        AND NOT EXISTS (SELECT FROM uploads WHERE id = the_upload AND blob = the_blob);
END $$;

-- The newest upload of a file becomes the file. Running reads of what was there before have time to end.
CREATE OR REPLACE FUNCTION complete(
    the_file uuid, the_owner text, keep_s float8,
    OUT outcome text, OUT version int, OUT size bigint, OUT sha256 text
) LANGUAGE plpgsql AS $$
DECLARE u users; f files; up uploads;
BEGIN
    SELECT * INTO u FROM users WHERE name = the_owner FOR UPDATE;
    SELECT * INTO f FROM files WHERE id = the_file AND owner = the_owner;
    IF NOT FOUND THEN outcome := 'none'; RETURN; END IF;
    SELECT * INTO up FROM uploads WHERE file = the_file FOR UPDATE;
    IF up.id IS NULL THEN -- it is complete already, unless the newest upload has lapsed
        outcome := CASE WHEN f.lapsed THEN 'lapsed' ELSE 'ok' END;
        version := f.version; size := f.size; sha256 := f.sha256;
        RETURN;
    END IF;
    IF up.blob IS NULL THEN outcome := 'missing'; RETURN; END IF;
    IF up.size > f.size AND u.live - f.size + up.size > u.quota THEN outcome := 'full'; RETURN; END IF;
    PERFORM end_upload(up.id, up.blob);
    UPDATE blobs SET dropped = now(), drop_at = now() + keep_s * interval '1 s' WHERE id = f.blob;
    UPDATE files SET version = f.version + 1, size = up.size, sha256 = up.sha256, blob = up.blob, lapsed = false
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
    PERFORM end_upload(up.id, NULL) FROM uploads up WHERE up.file = the_file;
    UPDATE blobs SET dropped = now(), drop_at = now() + keep_s * interval '1 s' WHERE id = f.blob;
    UPDATE users SET live = live - f.size WHERE name = the_owner;
    DELETE FROM files WHERE id = the_file;
    RETURN true;
END $$;

-- What is overdue gives its room back. Users in order of their names, since two sweepers may be at it.
CREATE OR REPLACE FUNCTION sweep_uploads() RETURNS void LANGUAGE plpgsql AS $$
DECLARE the_owner text;
BEGIN
    FOR the_owner IN SELECT DISTINCT owner FROM uploads WHERE expires < now() ORDER BY owner LIMIT 100 LOOP
        PERFORM FROM users WHERE name = the_owner FOR UPDATE;
        PERFORM end_overdue(the_owner);
    END LOOP;
END $$;
