-- Whoever finds no tables runs this, in one transaction; the lock is for all who do so at the same moment.
SELECT pg_advisory_xact_lock(4711);

CREATE TABLE IF NOT EXISTS events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    ts timestamptz NOT NULL,
    value bigint NOT NULL,
    event_id text COLLATE "C" PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL
);
-- Numbers are given before the commit, so the order of `id` alone is not the order in which events can be seen. Pages go by
-- the transaction first, and stop before the oldest one that still runs.
CREATE INDEX IF NOT EXISTS events_in_order ON events (source, xid, id);

-- What queries read; it is kept in the statement that stores the events. A row is changed often, and has room for that.
CREATE TABLE IF NOT EXISTS minutes (
    minute timestamp NOT NULL,
    events bigint NOT NULL,
    total numeric NOT NULL,
    source text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    PRIMARY KEY (source, type, minute)
) WITH (fillfactor = 50);

-- What PostgreSQL would not take, as JSON: somebody has to look at it. It holds up nothing.
CREATE TABLE IF NOT EXISTS refused (
    digest text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    event text NOT NULL,
    why text NOT NULL
);
